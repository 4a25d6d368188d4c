/**
 * The pure-Java twin of a GPU: host memory, kernels over heap arrays, the algorithms of collectives.
 *
 * <p>Communicators come in gloo's three parts. The <b>meeting</b> is over before anything here begins
 * ({@link org.lockstep.collective.World}). A <b>transport</b> carries messages between two ranks, whatever fits the pair
 * ({@link org.lockstep.transport}). The <b>algorithms</b> are written once, over the steps of a
 * {@link org.lockstep.transport.Mesh}, which may be some ranks of a group: {@code DirectCollectives} for up to 16,
 * {@code TreeCollectives} for more, with {@code SharesCollectives} and {@code HalvingCollectives} for large data of theirs.
 * {@code AgreeingCollectives} have a barrier before. {@code LayeredCollectives} put those of the ranks of a host and those of one
 * rank a host together, {@code AlikeCollectives} where hosts can add all that they have and {@code UnevenCollectives} elsewhere;
 * each documents its steps and bytes.
 *
 * <p>Kernels ({@link org.lockstep.cpu.CpuKernels}) are made of the arithmetic of {@link org.lockstep.simd}: weights lie in
 * panels ({@code PanelWeight}), a product goes panel by panel over all tokens ({@code PanelProduct}), attention tile by tile
 * over the context ({@code PagedAttention}). All sum in one order on every way through them: a token's result has the same bits
 * in any batch, on any number of threads and on any machine, and a matrix cut over ranks gives those of the whole. Work is
 * cut into parts for a {@code Team} of threads as large as the rank's {@link org.lockstep.cpu.Cores}.
 *
 * <p>Nothing here has a thread of its own but the team of a rank with several cores and the queue of a communicator that was
 * asked for one. Never here: sockets, Spark, words of models, CUDA.
 */
@NullMarked
package org.lockstep.cpu;

import org.jspecify.annotations.NullMarked;
