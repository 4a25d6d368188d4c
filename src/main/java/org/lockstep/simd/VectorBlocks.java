package org.lockstep.simd;

import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.I2F;
import static jdk.incubator.vector.VectorOperators.LSHL;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * A block of bytes meets one row of {@code x}. Its sum is scaled once: to multiply each weight by its scale takes twice as long,
 * for a core has two multipliers.
 *
 * <p>Nothing is taken out into methods of its own: with so many operations C2 inlines only what the Vector API forces it to, and
 * boxes the vectors of the rest, and a method so long it leaves in one piece wherever it is called.
 */
final class VectorBlocks {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();
    private static final int W = 4 * L;

    private VectorBlocks() {}

    static void one(
            int count, byte[] w, int at, float[] scales, int scalesAt, float[] x, int xAt, float[] sums, int sumsAt) {
        FloatVector t0 = FloatVector.zero(FLOATS);
        FloatVector t1 = t0;
        FloatVector t2 = t0;
        FloatVector t3 = t0;
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            IntVector fours = ByteVector.fromArray(BYTES, w, at + k * W).reinterpretAsInts();
            t0 = fours.lanewise(LSHL, 24)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t0);
            t1 = fours.lanewise(LSHL, 16)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t1);
            t2 = fours.lanewise(LSHL, 8)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t2);
            t3 = fours.lanewise(ASHR, 24).convert(I2F, 0).reinterpretAsFloats().fma(v, t3);
        }
        t0.fma(FloatVector.fromArray(FLOATS, scales, scalesAt), FloatVector.fromArray(FLOATS, sums, sumsAt))
                .intoArray(sums, sumsAt);
        t1.fma(FloatVector.fromArray(FLOATS, scales, scalesAt + L), FloatVector.fromArray(FLOATS, sums, sumsAt + L))
                .intoArray(sums, sumsAt + L);
        t2.fma(
                        FloatVector.fromArray(FLOATS, scales, scalesAt + 2 * L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 2 * L))
                .intoArray(sums, sumsAt + 2 * L);
        t3.fma(
                        FloatVector.fromArray(FLOATS, scales, scalesAt + 3 * L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 3 * L))
                .intoArray(sums, sumsAt + 3 * L);
    }

    /** Of two panels, which memory brings at once. */
    static void two(
            int count,
            byte[] w,
            int at,
            int other,
            float[] scales,
            int scalesAt,
            int otherScales,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt) {
        FloatVector t0 = FloatVector.zero(FLOATS);
        FloatVector t1 = t0;
        FloatVector t2 = t0;
        FloatVector t3 = t0;
        FloatVector t4 = t0;
        FloatVector t5 = t0;
        FloatVector t6 = t0;
        FloatVector t7 = t0;
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            IntVector fours = ByteVector.fromArray(BYTES, w, at + k * W).reinterpretAsInts();
            t0 = fours.lanewise(LSHL, 24)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t0);
            t1 = fours.lanewise(LSHL, 16)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t1);
            t2 = fours.lanewise(LSHL, 8)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t2);
            t3 = fours.lanewise(ASHR, 24).convert(I2F, 0).reinterpretAsFloats().fma(v, t3);
            fours = ByteVector.fromArray(BYTES, w, other + k * W).reinterpretAsInts();
            t4 = fours.lanewise(LSHL, 24)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t4);
            t5 = fours.lanewise(LSHL, 16)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t5);
            t6 = fours.lanewise(LSHL, 8)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .fma(v, t6);
            t7 = fours.lanewise(ASHR, 24).convert(I2F, 0).reinterpretAsFloats().fma(v, t7);
        }
        t0.fma(FloatVector.fromArray(FLOATS, scales, scalesAt), FloatVector.fromArray(FLOATS, sums, sumsAt))
                .intoArray(sums, sumsAt);
        t1.fma(FloatVector.fromArray(FLOATS, scales, scalesAt + L), FloatVector.fromArray(FLOATS, sums, sumsAt + L))
                .intoArray(sums, sumsAt + L);
        t2.fma(
                        FloatVector.fromArray(FLOATS, scales, scalesAt + 2 * L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 2 * L))
                .intoArray(sums, sumsAt + 2 * L);
        t3.fma(
                        FloatVector.fromArray(FLOATS, scales, scalesAt + 3 * L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 3 * L))
                .intoArray(sums, sumsAt + 3 * L);
        t4.fma(FloatVector.fromArray(FLOATS, scales, otherScales), FloatVector.fromArray(FLOATS, sums, sumsAt + 4 * L))
                .intoArray(sums, sumsAt + 4 * L);
        t5.fma(
                        FloatVector.fromArray(FLOATS, scales, otherScales + L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 5 * L))
                .intoArray(sums, sumsAt + 5 * L);
        t6.fma(
                        FloatVector.fromArray(FLOATS, scales, otherScales + 2 * L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 6 * L))
                .intoArray(sums, sumsAt + 6 * L);
        t7.fma(
                        FloatVector.fromArray(FLOATS, scales, otherScales + 3 * L),
                        FloatVector.fromArray(FLOATS, sums, sumsAt + 7 * L))
                .intoArray(sums, sumsAt + 7 * L);
    }
}
