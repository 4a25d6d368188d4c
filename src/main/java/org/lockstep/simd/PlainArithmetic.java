package org.lockstep.simd;

import java.util.Arrays;

/**
 * Without the Vector API: sums of eight neighbours in scalar registers, which hides the latency of the fused multiply-add.
 * On hardware without it {@link Math#fma} is right but slow.
 */
final class PlainArithmetic implements Arithmetic {
    /** The narrowest: a panel is then read from its start to its end. */
    static final int PANEL = 8;

    private static final int NEAR = 64; // columns of a wide panel that stay close while it is read eight rows at a time

    private final int panel;

    PlainArithmetic(int panel) {
        if (panel % 8 != 0 || 64 % panel != 0) {
            throw new IllegalArgumentException("a panel has 8, 16, 32 or 64 rows, not " + panel);
        }
        this.panel = panel;
    }

    @Override
    public int panel() {
        return panel;
    }

    @Override
    public void tile(
            int rows, int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        for (int k = 0; k < count; k += NEAR) {
            int some = Math.min(NEAR, count - k);
            for (int row = 0; row < rows; row++) {
                for (int j = 0; j < panel; j += 8) {
                    eight(
                            some,
                            w,
                            wAt + k * panel + j,
                            panel,
                            x,
                            xAt + k * rows + row,
                            rows,
                            sums,
                            sumsAt + row * sumsStride + j);
                }
            }
        }
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
        for (int row = 0; row < rows; row++) {
            int to = sumsAt + row * stride;
            eight(count, w, at, LANES, x, xAt + row, rows, sums, to);
            eight(count, w, at + 8, LANES, x, xAt + row, rows, sums, to + 8);
        }
        if (next != 0) {
            strips(rows, count, w, at + next, 0, x, xAt, sums, sumsAt + LANES, stride);
        }
    }

    private static void eight(
            int count, float[] w, int wAt, int wStride, float[] x, int xAt, int xStride, float[] sums, int at) {
        float s0 = sums[at];
        float s1 = sums[at + 1];
        float s2 = sums[at + 2];
        float s3 = sums[at + 3];
        float s4 = sums[at + 4];
        float s5 = sums[at + 5];
        float s6 = sums[at + 6];
        float s7 = sums[at + 7];
        for (int k = 0; k < count; k++) {
            int p = wAt + k * wStride;
            float v = x[xAt + k * xStride];
            s0 = Math.fma(w[p], v, s0);
            s1 = Math.fma(w[p + 1], v, s1);
            s2 = Math.fma(w[p + 2], v, s2);
            s3 = Math.fma(w[p + 3], v, s3);
            s4 = Math.fma(w[p + 4], v, s4);
            s5 = Math.fma(w[p + 5], v, s5);
            s6 = Math.fma(w[p + 6], v, s6);
            s7 = Math.fma(w[p + 7], v, s7);
        }
        sums[at] = s0;
        sums[at + 1] = s1;
        sums[at + 2] = s2;
        sums[at + 3] = s3;
        sums[at + 4] = s4;
        sums[at + 5] = s5;
        sums[at + 6] = s6;
        sums[at + 7] = s7;
    }

    @Override
    public void tileBf16(int count, short[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        for (int row = 0; row < ROWS; row++) {
            PlainChains.bf16(panel, count, w, wAt, x, xAt + row, ROWS, sums, sumsAt + row * sumsStride);
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
        for (int row = 0; row < ROWS; row++) {
            for (int j = 0; j < panel; j += 8) {
                int to = sumsAt + row * sumsStride + j;
                PlainChains.block(count, w, wAt + j, panel, x, xAt + row, ROWS, scales, scalesAt + j, sums, to);
            }
        }
    }

    @Override
    public boolean meetsBf16() {
        return false;
    }

    @Override
    public void widenBf16(short[] from, int at, int count, float[] out, int outAt) {
        int half = panel / 2;
        for (int k = 0; k < count * panel; k += panel) {
            for (int r = 0; r < half; r++) {
                out[outAt + k + r] = Float.intBitsToFloat(from[at + k + 2 * r] << 16);
                out[outAt + k + half + r] = Float.intBitsToFloat(from[at + k + 2 * r + 1] << 16);
            }
        }
    }

    @Override
    public void widenF16(short[] from, int at, int count, float[] out, int outAt) {
        int half = panel / 2;
        for (int k = 0; k < count * panel; k += panel) {
            for (int r = 0; r < half; r++) {
                out[outAt + k + r] = widen(from[at + k + 2 * r]);
                out[outAt + k + half + r] = widen(from[at + k + 2 * r + 1]);
            }
        }
    }

    /** The exponent of an f16 read as an f32's is 112 too small, for subnormals too. */
    static float widen(short bits) {
        return Float.intBitsToFloat(((bits & 0x8000) << 16) | ((bits & 0x7fff) << 13)) * 0x1p112f;
    }

    @Override
    public void widenQ8(byte[] from, int at, int count, float[] out, int outAt) {
        int quarter = panel / 4;
        for (int k = 0; k < count * panel; k += panel) {
            for (int j = 0; j < panel; j++) {
                int row = j % 4 * quarter + j / 4;
                out[outAt + k + row] = from[at + k + j];
            }
        }
    }

    @Override
    public void chainF32(int count, float[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        tile(1, count, w, at, x, xAt, sums, sumsAt, panel);
        if (next != 0) {
            tile(1, count, w, at + next, x, xAt, sums, sumsAt + panel, panel);
        }
    }

    @Override
    public void chainBf16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        PlainChains.bf16(panel, count, w, at, x, xAt, 1, sums, sumsAt);
        if (next != 0) {
            PlainChains.bf16(panel, count, w, at + next, x, xAt, 1, sums, sumsAt + panel);
        }
    }

    @Override
    public void chainF16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        PlainChains.f16(panel, count, w, at, x, xAt, sums, sumsAt);
        if (next != 0) {
            PlainChains.f16(panel, count, w, at + next, x, xAt, sums, sumsAt + panel);
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
        for (int k = 0, c = scalesAt; k < count; k += BLOCK, c += panel) {
            int some = Math.min(BLOCK, count - k);
            int p = at + k * panel;
            PlainChains.q8(panel, some, w, p, scales, c, x, xAt + k, sums, sumsAt);
            if (next != 0) {
                PlainChains.q8(panel, some, w, p + next, scales, c + scalesNext, x, xAt + k, sums, sumsAt + panel);
            }
        }
    }

    @Override
    public float largest(float[] x, int at, int count) {
        float most = Float.NEGATIVE_INFINITY;
        for (int i = at; i < at + count; i++) {
            most = Math.max(most, x[i]);
        }
        return most;
    }

    @Override
    public float exponentials(float[] x, int at, int count, float less, float[] lanes) {
        Arrays.fill(lanes, 0);
        for (int i = 0; i < count; i++) {
            float e = Exponential.of(x[at + i] - less);
            x[at + i] = e;
            lanes[i % LANES] += e;
        }
        return tree(lanes);
    }

    @Override
    public float sumOfSquares(float[] x, int at, int count, float[] lanes) {
        Arrays.fill(lanes, 0);
        addSquares(x, at, count, lanes);
        return tree(lanes);
    }

    /** To lane 0 the first. */
    static void addSquares(float[] x, int at, int count, float[] lanes) {
        for (int i = 0; i < count; i++) {
            lanes[i % LANES] = Math.fma(x[at + i], x[at + i], lanes[i % LANES]);
        }
    }

    static float tree(float[] lanes) {
        for (int half = LANES / 2; half > 0; half /= 2) {
            for (int lane = 0; lane < half; lane++) {
                lanes[lane] += lanes[lane + half];
            }
        }
        return lanes[0];
    }

    @Override
    public void swiGlu(float[] gate, int gateAt, float[] up, int upAt, int count) {
        gate(gate, gateAt, up, upAt, count);
    }

    static void gate(float[] gate, int gateAt, float[] up, int upAt, int count) {
        for (int i = 0; i < count; i++) {
            float g = gate[gateAt + i];
            gate[gateAt + i] = g / (Exponential.of(-g) + 1) * up[upAt + i];
        }
    }

    @Override
    public void add(float[] x, int at, float[] y, int yAt, int count) {
        sum(x, at, y, yAt, count);
    }

    static void sum(float[] x, int at, float[] y, int yAt, int count) {
        for (int i = 0; i < count; i++) {
            x[at + i] += y[yAt + i];
        }
    }

    @Override
    public void scale(float[] x, int at, float scale, float[] weight, int weightAt, float[] out, int outAt, int count) {
        product(x, at, scale, weight, weightAt, out, outAt, count);
    }

    static void product(
            float[] x, int at, float scale, float[] weight, int weightAt, float[] out, int outAt, int count) {
        for (int i = 0; i < count; i++) {
            out[outAt + i] = x[at + i] * scale * weight[weightAt + i];
        }
    }

    @Override
    public String toString() {
        return "plain Java";
    }
}
