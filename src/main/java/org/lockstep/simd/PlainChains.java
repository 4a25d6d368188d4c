package org.lockstep.simd;

/** A panel of narrow weights meets one row of {@code x}: eight sums in scalar registers. */
final class PlainChains {
    private PlainChains() {}

    static void bf16(
            int panel, int count, short[] from, int at, float[] x, int xAt, int xStride, float[] sums, int sumsAt) {
        int half = panel / 2;
        for (int r = 0; r < half; r += 4) {
            bf16Four(panel, count, from, at + 2 * r, x, xAt, xStride, sums, sumsAt + r, sumsAt + half + r);
        }
    }

    /** Four rows of the first half, four of the second. */
    private static void bf16Four(
            int panel,
            int count,
            short[] from,
            int at,
            float[] x,
            int xAt,
            int xStride,
            float[] sums,
            int low,
            int high) {
        float s0 = sums[low];
        float s1 = sums[low + 1];
        float s2 = sums[low + 2];
        float s3 = sums[low + 3];
        float s4 = sums[high];
        float s5 = sums[high + 1];
        float s6 = sums[high + 2];
        float s7 = sums[high + 3];
        for (int k = 0; k < count; k++) {
            float v = x[xAt + k * xStride];
            int p = at + k * panel;
            s0 = Math.fma(bf16(from[p]), v, s0);
            s4 = Math.fma(bf16(from[p + 1]), v, s4);
            s1 = Math.fma(bf16(from[p + 2]), v, s1);
            s5 = Math.fma(bf16(from[p + 3]), v, s5);
            s2 = Math.fma(bf16(from[p + 4]), v, s2);
            s6 = Math.fma(bf16(from[p + 5]), v, s6);
            s3 = Math.fma(bf16(from[p + 6]), v, s3);
            s7 = Math.fma(bf16(from[p + 7]), v, s7);
        }
        sums[low] = s0;
        sums[low + 1] = s1;
        sums[low + 2] = s2;
        sums[low + 3] = s3;
        sums[high] = s4;
        sums[high + 1] = s5;
        sums[high + 2] = s6;
        sums[high + 3] = s7;
    }

    private static float bf16(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    static void f16(int panel, int count, short[] from, int at, float[] x, int xAt, float[] sums, int sumsAt) {
        int half = panel / 2;
        for (int r = 0; r < half; r += 4) {
            f16Four(panel, count, from, at + 2 * r, x, xAt, sums, sumsAt + r, sumsAt + half + r);
        }
    }

    /** Four rows of the first half, four of the second. */
    private static void f16Four(
            int panel, int count, short[] from, int at, float[] x, int xAt, float[] sums, int low, int high) {
        float s0 = sums[low];
        float s1 = sums[low + 1];
        float s2 = sums[low + 2];
        float s3 = sums[low + 3];
        float s4 = sums[high];
        float s5 = sums[high + 1];
        float s6 = sums[high + 2];
        float s7 = sums[high + 3];
        for (int k = 0; k < count; k++) {
            float v = x[xAt + k];
            int p = at + k * panel;
            s0 = Math.fma(PlainArithmetic.widen(from[p]), v, s0);
            s4 = Math.fma(PlainArithmetic.widen(from[p + 1]), v, s4);
            s1 = Math.fma(PlainArithmetic.widen(from[p + 2]), v, s1);
            s5 = Math.fma(PlainArithmetic.widen(from[p + 3]), v, s5);
            s2 = Math.fma(PlainArithmetic.widen(from[p + 4]), v, s2);
            s6 = Math.fma(PlainArithmetic.widen(from[p + 5]), v, s6);
            s3 = Math.fma(PlainArithmetic.widen(from[p + 6]), v, s3);
            s7 = Math.fma(PlainArithmetic.widen(from[p + 7]), v, s7);
        }
        sums[low] = s0;
        sums[low + 1] = s1;
        sums[low + 2] = s2;
        sums[low + 3] = s3;
        sums[high] = s4;
        sums[high + 1] = s5;
        sums[high + 2] = s6;
        sums[high + 3] = s7;
    }

    static void q8(
            int panel,
            int count,
            byte[] from,
            int at,
            float[] scales,
            int scalesAt,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt) {
        for (int r = 0; r < panel / 4; r++) {
            q8Four(panel, count, from, at + 4 * r, scales, scalesAt + r, x, xAt, sums, sumsAt + r);
        }
    }

    /** A row of each quarter. */
    private static void q8Four(
            int panel,
            int count,
            byte[] from,
            int at,
            float[] scales,
            int scalesAt,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt) {
        int quarter = panel / 4;
        float c0 = scales[scalesAt];
        float c1 = scales[scalesAt + quarter];
        float c2 = scales[scalesAt + 2 * quarter];
        float c3 = scales[scalesAt + 3 * quarter];
        float s0 = sums[sumsAt];
        float s1 = sums[sumsAt + quarter];
        float s2 = sums[sumsAt + 2 * quarter];
        float s3 = sums[sumsAt + 3 * quarter];
        for (int k = 0; k < count; k++) {
            float v = x[xAt + k];
            int p = at + k * panel;
            s0 = Math.fma(from[p] * c0, v, s0);
            s1 = Math.fma(from[p + 1] * c1, v, s1);
            s2 = Math.fma(from[p + 2] * c2, v, s2);
            s3 = Math.fma(from[p + 3] * c3, v, s3);
        }
        sums[sumsAt] = s0;
        sums[sumsAt + quarter] = s1;
        sums[sumsAt + 2 * quarter] = s2;
        sums[sumsAt + 3 * quarter] = s3;
    }
}
