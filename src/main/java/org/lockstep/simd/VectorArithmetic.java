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

/** With the Vector API, in vectors of the length that the machine prefers: a panel is four of them. */
final class VectorArithmetic implements Arithmetic {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS = ShortVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();
    private static final int W = 4 * L;

    /** Whether the machine's vectors are of 4, 8 or 16 floats, and equally wide for all elements. */
    static boolean fits() {
        int bits = FLOATS.vectorBitSize();
        return bits >= 128 && bits <= 512 && SHORTS.vectorBitSize() == bits && BYTES.vectorBitSize() == bits;
    }

    @Override
    public int panel() {
        return W;
    }

    @Override
    public int tile() {
        return L == 16 ? 4 : 2; // by the registers: 32 with AVX-512, 16 with AVX2
    }

    @Override
    public void tile(
            int rows,
            int count,
            float[] w,
            int wAt,
            int wStride,
            float[] x,
            int xAt,
            int xStride,
            float[] sums,
            int sumsAt,
            int sumsStride) {
        VectorTiles.tile(rows, count, w, wAt, wStride, x, xAt, xStride, sums, sumsAt, sumsStride);
    }

    @Override
    public void widenBf16(short[] panel, int at, int count, float[] out, int outAt) {
        for (int k = 0; k < count; k++) {
            int p = at + k * W;
            int o = outAt + k * W;
            IntVector a = pairs(panel, p);
            IntVector b = pairs(panel, p + 2 * L);
            a.lanewise(LSHL, 16).reinterpretAsFloats().intoArray(out, o);
            b.lanewise(LSHL, 16).reinterpretAsFloats().intoArray(out, o + L);
            a.and(0xffff0000).reinterpretAsFloats().intoArray(out, o + 2 * L);
            b.and(0xffff0000).reinterpretAsFloats().intoArray(out, o + 3 * L);
        }
    }

    @Override
    public void widenF16(short[] panel, int at, int count, float[] out, int outAt) {
        for (int k = 0; k < count; k++) {
            int p = at + k * W;
            int o = outAt + k * W;
            IntVector a = pairs(panel, p);
            IntVector b = pairs(panel, p + 2 * L);
            low(a).intoArray(out, o);
            low(b).intoArray(out, o + L);
            high(a).intoArray(out, o + 2 * L);
            high(b).intoArray(out, o + 3 * L);
        }
    }

    private static IntVector pairs(short[] panel, int at) {
        return ShortVector.fromArray(SHORTS, panel, at).reinterpretAsInts();
    }

    /** The low halves of the lanes: the exponent of an f16 read as an f32's is 112 too small, for subnormals too. */
    private static FloatVector low(IntVector pairs) {
        IntVector sign = pairs.lanewise(LSHL, 16).and(0x80000000);
        return pairs.and(0x7fff)
                .lanewise(LSHL, 13)
                .or(sign)
                .reinterpretAsFloats()
                .mul(0x1p112f);
    }

    private static FloatVector high(IntVector pairs) {
        IntVector sign = pairs.and(0x80000000);
        return pairs.lanewise(LSHR, 3)
                .and(0x0fffe000)
                .or(sign)
                .reinterpretAsFloats()
                .mul(0x1p112f);
    }

    @Override
    public void widenQ8(byte[] panel, int at, float[] scales, int scalesAt, int count, float[] out, int outAt) {
        FloatVector s0 = FloatVector.fromArray(FLOATS, scales, scalesAt);
        FloatVector s1 = FloatVector.fromArray(FLOATS, scales, scalesAt + L);
        FloatVector s2 = FloatVector.fromArray(FLOATS, scales, scalesAt + 2 * L);
        FloatVector s3 = FloatVector.fromArray(FLOATS, scales, scalesAt + 3 * L);
        for (int k = 0; k < count; k++) {
            int o = outAt + k * W;
            IntVector fours = ByteVector.fromArray(BYTES, panel, at + k * W).reinterpretAsInts();
            quarter(fours.lanewise(LSHL, 24)).mul(s0).intoArray(out, o);
            quarter(fours.lanewise(LSHL, 16)).mul(s1).intoArray(out, o + L);
            quarter(fours.lanewise(LSHL, 8)).mul(s2).intoArray(out, o + 2 * L);
            quarter(fours).mul(s3).intoArray(out, o + 3 * L);
        }
    }

    /** The highest bytes of the lanes. */
    private static FloatVector quarter(IntVector fours) {
        return (FloatVector) fours.lanewise(ASHR, 24).convert(I2F, 0);
    }

    @Override
    public float largest(float[] x, int at, int count) {
        return VectorRows.largest(x, at, count);
    }

    @Override
    public float exponentials(float[] x, int at, int count, float less, float[] lanes) {
        return VectorRows.exponentials(x, at, count, less, lanes);
    }

    @Override
    public float sumOfSquares(float[] x, int at, int count, float[] lanes) {
        return VectorRows.sumOfSquares(x, at, count, lanes);
    }

    @Override
    public void swiGlu(float[] gate, int gateAt, float[] up, int upAt, int count) {
        VectorRows.swiGlu(gate, gateAt, up, upAt, count);
    }

    @Override
    public String toString() {
        return "vectors of " + L + " floats";
    }
}
