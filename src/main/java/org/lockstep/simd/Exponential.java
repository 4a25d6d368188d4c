package org.lockstep.simd;

/**
 * The exponential function in f32, to a relative error below 2e-7, of the same bits as in vectors: n = round(x / ln 2), the rest
 * by the polynomial of Cephes' {@code expf} (Moshier), then 2^n in two factors, so that the result may be subnormal.
 */
public final class Exponential {
    static final float LEAST = -104; // less than half of the smallest float
    static final float MOST = 89; // beyond the largest
    static final float LOG2_E = 1.442695f;
    /** Added to a small number it leaves no fraction: the integer stands in the low bits. */
    static final float ROUNDING = 0x1.8p23f;

    static final int ROUNDING_BITS = 0x4b400000;
    static final float LN2_HIGH = 0.6933594f;
    static final float LN2_LOW = -2.1219444e-4f;
    static final float C7 = 1.9875691e-4f;
    static final float C6 = 0.0013981999f;
    static final float C5 = 0.008333452f;
    static final float C4 = 0.041665796f;
    static final float C3 = 0.16666666f;
    static final float C2 = 0.5f;
    static final int BIAS = 127;
    static final int MANTISSA_BITS = 23;

    private Exponential() {}

    /** e to the power of {@code value}: 0 far below, infinity far above, NaN of NaN. */
    public static float of(float value) {
        float x = Math.min(Math.max(value, LEAST), MOST);
        float shifted = Math.fma(x, LOG2_E, ROUNDING);
        float n = shifted - ROUNDING;
        float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, x));
        float p = Math.fma(C7, r, C6);
        p = Math.fma(p, r, C5);
        p = Math.fma(p, r, C4);
        p = Math.fma(p, r, C3);
        p = Math.fma(p, r, C2);
        p = Math.fma(p, r * r, r) + 1;
        int power = Float.floatToRawIntBits(shifted) - ROUNDING_BITS;
        int half = power >> 1;
        return p * two(half) * two(power - half);
    }

    private static float two(int power) {
        return Float.intBitsToFloat((power + BIAS) << MANTISSA_BITS);
    }
}
