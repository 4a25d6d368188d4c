package org.lockstep.simd;

import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.I2F;
import static jdk.incubator.vector.VectorOperators.LSHL;

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
    public void tile(
            int rows, int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        VectorTiles.tile(rows, count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
    }

    @Override
    public void tileBf16(int count, short[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        VectorTiles.tileBf16(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
    }

    @Override
    public void strips(
            int rows,
            int count,
            float[] w,
            int at,
            int next,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt,
            int stride) {
        VectorStrips.strips(rows, count, w, at, next, x, xAt, sums, sumsAt, stride);
    }

    /** Not with AVX-512, whose cores shift on the ports of the multiplier. */
    @Override
    public boolean meetsBf16() {
        return L < 16;
    }

    @Override
    public void widenBf16(short[] panel, int at, int count, float[] out, int outAt) {
        for (int k = 0; k < count; k++) {
            int o = outAt + k * W;
            IntVector a = VectorChains.pairs(panel, at + k * W);
            IntVector b = VectorChains.pairs(panel, at + k * W + 2 * L);
            VectorChains.lowBf16(a).intoArray(out, o);
            VectorChains.lowBf16(b).intoArray(out, o + L);
            VectorChains.highBf16(a).intoArray(out, o + 2 * L);
            VectorChains.highBf16(b).intoArray(out, o + 3 * L);
        }
    }

    @Override
    public void widenF16(short[] panel, int at, int count, float[] out, int outAt) {
        for (int k = 0; k < count; k++) {
            int o = outAt + k * W;
            IntVector a = VectorChains.pairs(panel, at + k * W);
            IntVector b = VectorChains.pairs(panel, at + k * W + 2 * L);
            VectorChains.lowF16(a).intoArray(out, o);
            VectorChains.lowF16(b).intoArray(out, o + L);
            VectorChains.highF16(a).intoArray(out, o + 2 * L);
            VectorChains.highF16(b).intoArray(out, o + 3 * L);
        }
    }

    @Override
    public void widenQ8(byte[] panel, int at, int count, float[] out, int outAt) {
        for (int k = 0; k < count; k++) {
            int o = outAt + k * W;
            IntVector fours = ByteVector.fromArray(BYTES, panel, at + k * W).reinterpretAsInts();
            fours.lanewise(LSHL, 24)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .intoArray(out, o);
            fours.lanewise(LSHL, 16)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .intoArray(out, o + L);
            fours.lanewise(LSHL, 8)
                    .lanewise(ASHR, 24)
                    .convert(I2F, 0)
                    .reinterpretAsFloats()
                    .intoArray(out, o + 2 * L);
            fours.lanewise(ASHR, 24).convert(I2F, 0).reinterpretAsFloats().intoArray(out, o + 3 * L);
        }
    }

    @Override
    public void tileBlock(
            int count,
            float[] w,
            int wAt,
            float[] x,
            int xAt,
            float[] scales,
            int scalesAt,
            float[] sums,
            int sumsAt,
            int sumsStride) {
        VectorTiles.tileBlock(count, w, wAt, x, xAt, scales, scalesAt, sums, sumsAt, sumsStride);
    }

    @Override
    public void chainF32(int count, float[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        if (next == 0) {
            VectorTiles.tile(1, count, w, at, x, xAt, sums, sumsAt, W);
        } else {
            VectorChains.f32Pair(count, w, at, at + next, x, xAt, sums, sumsAt);
        }
    }

    @Override
    public void chainBf16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        if (next == 0) {
            VectorChains.bf16(count, w, at, x, xAt, sums, sumsAt);
        } else {
            VectorChains.bf16Pair(count, w, at, at + next, x, xAt, sums, sumsAt);
        }
    }

    @Override
    public void chainF16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        VectorChains.f16(count, w, at, x, xAt, sums, sumsAt);
        if (next != 0) {
            VectorChains.f16(count, w, at + next, x, xAt, sums, sumsAt + W);
        }
    }

    @Override
    public void chainQ8(
            int count,
            byte[] w,
            int at,
            int next,
            float[] scales,
            int scalesAt,
            int scalesNext,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt) {
        for (int k = 0, c = scalesAt; k < count; k += BLOCK, c += W) {
            int some = Math.min(BLOCK, count - k);
            int p = at + k * W;
            if (next == 0) {
                VectorBlocks.one(some, w, p, scales, c, x, xAt + k, sums, sumsAt);
            } else {
                VectorBlocks.two(some, w, p, p + next, scales, c, c + scalesNext, x, xAt + k, sums, sumsAt);
            }
        }
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
    public void add(float[] x, int at, float[] y, int yAt, int count) {
        VectorRows.add(x, at, y, yAt, count);
    }

    @Override
    public void scale(float[] x, int at, float scale, float[] weight, int weightAt, float[] out, int outAt, int count) {
        VectorRows.scale(x, at, scale, weight, weightAt, out, outAt, count);
    }

    @Override
    public String toString() {
        return "vectors of " + L + " floats";
    }
}
