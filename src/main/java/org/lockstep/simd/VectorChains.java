package org.lockstep.simd;

import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.I2F;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorSpecies;

/** A panel of narrow weights meets one row of {@code x}: widened in registers, for memory is what such a product waits for. */
final class VectorChains {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS = ShortVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();
    private static final int W = 4 * L;

    private VectorChains() {}

    private static FloatVector load(float[] values, int at) {
        return FloatVector.fromArray(FLOATS, values, at);
    }

    static IntVector pairs(short[] panel, int at) {
        return ShortVector.fromArray(SHORTS, panel, at).reinterpretAsInts();
    }

    static IntVector fours(byte[] panel, int at) {
        return ByteVector.fromArray(BYTES, panel, at).reinterpretAsInts();
    }

    static FloatVector lowBf16(IntVector pairs) {
        return pairs.lanewise(LSHL, 16).reinterpretAsFloats();
    }

    static FloatVector highBf16(IntVector pairs) {
        return pairs.and(0xffff0000).reinterpretAsFloats();
    }

    /** The low halves of the lanes: the exponent of an f16 read as an f32's is 112 too small, for subnormals too. */
    static FloatVector lowF16(IntVector pairs) {
        IntVector sign = pairs.lanewise(LSHL, 16).and(0x80000000);
        return pairs.and(0x7fff)
                .lanewise(LSHL, 13)
                .or(sign)
                .reinterpretAsFloats()
                .mul(0x1p112f);
    }

    static FloatVector highF16(IntVector pairs) {
        IntVector sign = pairs.and(0x80000000);
        return pairs.lanewise(LSHR, 3)
                .and(0x0fffe000)
                .or(sign)
                .reinterpretAsFloats()
                .mul(0x1p112f);
    }

    /** The highest bytes of the lanes. */
    static FloatVector highest(IntVector fours) {
        return (FloatVector) fours.lanewise(ASHR, 24).convert(I2F, 0);
    }

    static void bf16(int count, short[] panel, int at, float[] x, int xAt, float[] sums, int sumsAt) {
        FloatVector s0 = load(sums, sumsAt);
        FloatVector s1 = load(sums, sumsAt + L);
        FloatVector s2 = load(sums, sumsAt + 2 * L);
        FloatVector s3 = load(sums, sumsAt + 3 * L);
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            IntVector a = pairs(panel, at + k * W);
            IntVector b = pairs(panel, at + k * W + 2 * L);
            s0 = lowBf16(a).fma(v, s0);
            s1 = lowBf16(b).fma(v, s1);
            s2 = highBf16(a).fma(v, s2);
            s3 = highBf16(b).fma(v, s3);
        }
        s0.intoArray(sums, sumsAt);
        s1.intoArray(sums, sumsAt + L);
        s2.intoArray(sums, sumsAt + 2 * L);
        s3.intoArray(sums, sumsAt + 3 * L);
    }

    static void f16(int count, short[] panel, int at, float[] x, int xAt, float[] sums, int sumsAt) {
        FloatVector s0 = load(sums, sumsAt);
        FloatVector s1 = load(sums, sumsAt + L);
        FloatVector s2 = load(sums, sumsAt + 2 * L);
        FloatVector s3 = load(sums, sumsAt + 3 * L);
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            IntVector a = pairs(panel, at + k * W);
            IntVector b = pairs(panel, at + k * W + 2 * L);
            s0 = lowF16(a).fma(v, s0);
            s1 = lowF16(b).fma(v, s1);
            s2 = highF16(a).fma(v, s2);
            s3 = highF16(b).fma(v, s3);
        }
        s0.intoArray(sums, sumsAt);
        s1.intoArray(sums, sumsAt + L);
        s2.intoArray(sums, sumsAt + 2 * L);
        s3.intoArray(sums, sumsAt + 3 * L);
    }

    static void q8(
            int count,
            byte[] panel,
            int at,
            float[] scales,
            int scalesAt,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt) {
        FloatVector s0 = load(sums, sumsAt);
        FloatVector s1 = load(sums, sumsAt + L);
        FloatVector s2 = load(sums, sumsAt + 2 * L);
        FloatVector s3 = load(sums, sumsAt + 3 * L);
        FloatVector c0 = load(scales, scalesAt);
        FloatVector c1 = load(scales, scalesAt + L);
        FloatVector c2 = load(scales, scalesAt + 2 * L);
        FloatVector c3 = load(scales, scalesAt + 3 * L);
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            IntVector fours = fours(panel, at + k * W);
            s0 = highest(fours.lanewise(LSHL, 24)).mul(c0).fma(v, s0);
            s1 = highest(fours.lanewise(LSHL, 16)).mul(c1).fma(v, s1);
            s2 = highest(fours.lanewise(LSHL, 8)).mul(c2).fma(v, s2);
            s3 = highest(fours).mul(c3).fma(v, s3);
        }
        s0.intoArray(sums, sumsAt);
        s1.intoArray(sums, sumsAt + L);
        s2.intoArray(sums, sumsAt + 2 * L);
        s3.intoArray(sums, sumsAt + 3 * L);
    }
}
