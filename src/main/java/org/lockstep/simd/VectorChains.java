package org.lockstep.simd;

import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorSpecies;

/** Panels meet one row of {@code x}, narrow ones widened in registers: memory is what such a product waits for. */
final class VectorChains {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS = ShortVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();
    private static final int W = 4 * L;

    private VectorChains() {}

    private static FloatVector load(float[] values, int at) {
        return FloatVector.fromArray(FLOATS, values, at);
    }

    static IntVector pairs(short[] panel, int at) {
        return ShortVector.fromArray(SHORTS, panel, at).reinterpretAsInts();
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

    /** Two panels that memory brings at once. */
    static void bf16Pair(int count, short[] w, int at, int other, float[] x, int xAt, float[] sums, int sumsAt) {
        FloatVector s0 = load(sums, sumsAt);
        FloatVector s1 = load(sums, sumsAt + L);
        FloatVector s2 = load(sums, sumsAt + 2 * L);
        FloatVector s3 = load(sums, sumsAt + 3 * L);
        FloatVector s4 = load(sums, sumsAt + 4 * L);
        FloatVector s5 = load(sums, sumsAt + 5 * L);
        FloatVector s6 = load(sums, sumsAt + 6 * L);
        FloatVector s7 = load(sums, sumsAt + 7 * L);
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            IntVector a = pairs(w, at + k * W);
            IntVector b = pairs(w, at + k * W + 2 * L);
            s0 = lowBf16(a).fma(v, s0);
            s1 = lowBf16(b).fma(v, s1);
            s2 = highBf16(a).fma(v, s2);
            s3 = highBf16(b).fma(v, s3);
            IntVector c = pairs(w, other + k * W);
            IntVector d = pairs(w, other + k * W + 2 * L);
            s4 = lowBf16(c).fma(v, s4);
            s5 = lowBf16(d).fma(v, s5);
            s6 = highBf16(c).fma(v, s6);
            s7 = highBf16(d).fma(v, s7);
        }
        s0.intoArray(sums, sumsAt);
        s1.intoArray(sums, sumsAt + L);
        s2.intoArray(sums, sumsAt + 2 * L);
        s3.intoArray(sums, sumsAt + 3 * L);
        s4.intoArray(sums, sumsAt + 4 * L);
        s5.intoArray(sums, sumsAt + 5 * L);
        s6.intoArray(sums, sumsAt + 6 * L);
        s7.intoArray(sums, sumsAt + 7 * L);
    }

    /** Two panels that memory brings at once. */
    static void f32Pair(int count, float[] w, int at, int other, float[] x, int xAt, float[] sums, int sumsAt) {
        FloatVector s0 = load(sums, sumsAt);
        FloatVector s1 = load(sums, sumsAt + L);
        FloatVector s2 = load(sums, sumsAt + 2 * L);
        FloatVector s3 = load(sums, sumsAt + 3 * L);
        FloatVector s4 = load(sums, sumsAt + 4 * L);
        FloatVector s5 = load(sums, sumsAt + 5 * L);
        FloatVector s6 = load(sums, sumsAt + 6 * L);
        FloatVector s7 = load(sums, sumsAt + 7 * L);
        for (int k = 0; k < count; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[xAt + k]);
            int p = at + k * W;
            s0 = load(w, p).fma(v, s0);
            s1 = load(w, p + L).fma(v, s1);
            s2 = load(w, p + 2 * L).fma(v, s2);
            s3 = load(w, p + 3 * L).fma(v, s3);
            p = other + k * W;
            s4 = load(w, p).fma(v, s4);
            s5 = load(w, p + L).fma(v, s5);
            s6 = load(w, p + 2 * L).fma(v, s6);
            s7 = load(w, p + 3 * L).fma(v, s7);
        }
        s0.intoArray(sums, sumsAt);
        s1.intoArray(sums, sumsAt + L);
        s2.intoArray(sums, sumsAt + 2 * L);
        s3.intoArray(sums, sumsAt + 3 * L);
        s4.intoArray(sums, sumsAt + 4 * L);
        s5.intoArray(sums, sumsAt + 5 * L);
        s6.intoArray(sums, sumsAt + 6 * L);
        s7.intoArray(sums, sumsAt + 7 * L);
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
}
