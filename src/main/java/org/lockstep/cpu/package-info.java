/**
 * The pure-Java twin of a GPU: host memory, kernels over heap arrays, communicators over threads and TCP.
 *
 * <p>Communicators come in gloo's three parts. The <b>meeting</b> is over before anything here begins
 * ({@link org.lockstep.collective.World}). A <b>transport</b> shows a rank its peers' data: {@code ThreadTransport} by
 * letting it read their arrays, {@code TcpTransport} by copying them. The <b>algorithms</b>, in {@code CpuCommunicator},
 * are written once, over a transport's {@code swap} and {@code finish}. A group whose ranks share a venue uses threads,
 * any other TCP.
 *
 * <p>Kernels ({@link org.lockstep.cpu.CpuKernels}) sum in one order on every way through them: a token's result has the
 * same bits in any batch, and a matrix cut over ranks gives those of the whole.
 *
 * <p>Nothing here has a thread of its own: sockets are non-blocking and served by the rank's thread, inside its operations.
 * A failure seals the {@code Fate} that all communicators of a rank share, and is told to all its peers at once. Never
 * here: Spark, words of models, CUDA.
 */
@NullMarked
package org.lockstep.cpu;

import org.jspecify.annotations.NullMarked;
