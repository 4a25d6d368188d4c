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

    /** Eight rows of a block that was widened, from a column to the next {@code wStride}, of {@code x} {@code xStride}. */
    static void block(
            int count,
            float[] w,
            int wAt,
            int wStride,
            float[] x,
            int xAt,
            int xStride,
            float[] scales,
            int scalesAt,
            float[] sums,
            int sumsAt) {
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        float s4 = 0;
        float s5 = 0;
        float s6 = 0;
        float s7 = 0;
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
        sums[sumsAt] = Math.fma(s0, scales[scalesAt], sums[sumsAt]);
        sums[sumsAt + 1] = Math.fma(s1, scales[scalesAt + 1], sums[sumsAt + 1]);
        sums[sumsAt + 2] = Math.fma(s2, scales[scalesAt + 2], sums[sumsAt + 2]);
        sums[sumsAt + 3] = Math.fma(s3, scales[scalesAt + 3], sums[sumsAt + 3]);
        sums[sumsAt + 4] = Math.fma(s4, scales[scalesAt + 4], sums[sumsAt + 4]);
        sums[sumsAt + 5] = Math.fma(s5, scales[scalesAt + 5], sums[sumsAt + 5]);
        sums[sumsAt + 6] = Math.fma(s6, scales[scalesAt + 6], sums[sumsAt + 6]);
        sums[sumsAt + 7] = Math.fma(s7, scales[scalesAt + 7], sums[sumsAt + 7]);
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
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        for (int k = 0; k < count; k++) {
            float v = x[xAt + k];
            int p = at + k * panel;
            s0 = Math.fma(from[p], v, s0);
            s1 = Math.fma(from[p + 1], v, s1);
            s2 = Math.fma(from[p + 2], v, s2);
            s3 = Math.fma(from[p + 3], v, s3);
        }
        sums[sumsAt] = Math.fma(s0, scales[scalesAt], sums[sumsAt]);
        sums[sumsAt + quarter] = Math.fma(s1, scales[scalesAt + quarter], sums[sumsAt + quarter]);
        sums[sumsAt + 2 * quarter] = Math.fma(s2, scales[scalesAt + 2 * quarter], sums[sumsAt + 2 * quarter]);
        sums[sumsAt + 3 * quarter] = Math.fma(s3, scales[scalesAt + 3 * quarter], sums[sumsAt + 3 * quarter]);
    }
}
