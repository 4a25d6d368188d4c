/**
 * The pure-Java device: host memory, the maths of a decoder over heap arrays, and communicators between threads and JVMs.
 *
 * <p>A first-class device and the twin of the GPU's package: who has read one can review the other. Everything here gives
 * the same bits whatever the batch, the number of tensor ranks and the machine. Never here: CUDA, Spark, words of models.
 */
@NullMarked
package org.lockstep.cpu;

import org.jspecify.annotations.NullMarked;
