/**
 * The pure-Java device: host memory, the maths of a decoder over heap arrays, and communicators over threads and TCP.
 *
 * <p>A first-class device and the twin of the GPU's package: who has read one can review the other. Everything here gives
 * the same bits whatever the batch, the number of tensor ranks and the machine.
 *
 * <p>Communicators come in gloo's three parts. The <b>meeting</b> is over before anything here begins
 * ({@link org.lockstep.collective.World}). A <b>transport</b> shows a rank its peers' data: {@code ThreadTransport} by
 * letting it read their arrays, {@code TcpTransport} by copying them. The <b>algorithms</b>, in {@code CpuCommunicator},
 * are written once, over a transport's {@code swap} and {@code finish}. A group whose ranks share a venue uses threads,
 * any other TCP.
 *
 * <p>Nothing here has a thread of its own: sockets are non-blocking and served by the rank's thread, inside its operations.
 * A failure seals the {@code Fate} that all communicators of a rank share, and is told to all its peers at once. Never
 * here: CUDA, Spark, words of models.
 */
@NullMarked
package org.lockstep.cpu;

import org.jspecify.annotations.NullMarked;
