/**
 * Arithmetic over arrays for the kernels of the host, twice: with the Vector API and in plain Java, of the same bits.
 *
 * <p>The module {@code jdk.incubator.vector} is in every JVM that Spark 4 starts. Where it is not, plain Java computes; where
 * it is, plain Java computes until the JIT has compiled the vectors ({@code WarmingArithmetic}). This room is compiled apart
 * from the others, and first: javac warns of an incubating module whatever one says, and the others' warnings are errors.
 *
 * <p><b>Panels.</b> A weight matrix (rows, columns) is held in panels of {@link org.lockstep.simd.Arithmetic#panel} rows, four
 * vectors: 64 with AVX-512, 32 with AVX2, 16 with NEON. Column stands after column, in each the rows side by side:
 *
 * <pre>
 *              column 0                 column 1
 *   f32     r0 r1 r2 ...... r63    |  r0 r1 r2 ...... r63
 *   16 bit  r0 r32 r1 r33 ... r63  |  one int: a row of the first half (low), one of the second (high)
 *   bytes   r0 r16 r32 r48 r1 ...  |  one int: a row of each quarter
 * </pre>
 *
 * so that a load, taken as ints, is widened by shifts, of bytes by a conversion too, and no sum ever crosses the lanes of a vector.
 *
 * <p><b>Strips.</b> Attention meets keys and values in strips of 16 positions or elements, as they stand in the cache, whatever the
 * vectors' length.
 *
 * <p><b>Order of sums.</b> A dot product is one chain of fused multiply-adds over its columns; {@code tile} goes on where the
 * last one stopped. Of bytes the columns that share a scale are such a chain, scaled and added to those before. Neither the
 * batch nor the tile nor the length of a vector nor a thread changes it. Sums along a row have 16 lanes, added as a tree, on every
 * machine.
 *
 * <p><b>Traps of C2</b> met here: a kernel whose sums do not all stay in registers (six rows by four vectors) runs at a fifth
 * of the speed; {@code ZERO_EXTEND_S2I} throws on Java 17; each kernel has a method of its own, and no vector is returned
 * through more than one call; in a method of many operations it inlines only those of the Vector API, so vectors that go through
 * a call of ours are boxed ({@code VectorBlocks}); before it is compiled a vector operation takes a hundred times longer, so first runs need the
 * twin.
 */
@NullMarked
package org.lockstep.simd;

import org.jspecify.annotations.NullMarked;
