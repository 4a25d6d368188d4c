package org.lockstep.tensor;

/**
 * Conversions between float and the two 8-bit floating types, rounding to the nearest, ties to even; what is larger than the
 * largest number, infinity too, becomes that, as NVIDIA's conversions saturate.
 *
 * <p>The types are those of OCP's 8-bit floating point specification (1.0, 2023): e4m3 has no infinity, one NaN of each sign, and
 * numbers up to 448; e5m2 is the upper byte of an IEEE half, its numbers up to 57344.
 */
public final class Fp8 {
    private static final int NAN = 0x7f;

    private Fp8() {}

    public static float e4m3ToFloat(byte bits) {
        int magnitude = bits & 0x7f;
        if (magnitude == NAN) {
            return Float.NaN;
        }
        // Its exponent field read as a float's is 120 too small, for subnormals too.
        return Float.intBitsToFloat((bits & 0x80) << 24 | magnitude << 20) * 0x1p120f;
    }

    public static byte floatToE4m3(float value) {
        return narrow(value, 3, 7, 0x7e);
    }

    public static float e5m2ToFloat(byte bits) {
        return Half.f16ToFloat((short) (bits << 8));
    }

    public static byte floatToE5m2(float value) {
        return narrow(value, 2, 15, 0x7b);
    }

    /**
     * To so many bits of mantissa and such a bias of the exponent.
     *
     * @param largest bits of the largest number
     */
    private static byte narrow(float value, int mantissa, int bias, int largest) {
        int bits = Float.floatToRawIntBits(value);
        int sign = (bits >>> 24) & 0x80;
        int magnitude = bits & 0x7fffffff;
        if (magnitude > 0x7f800000) {
            return (byte) (sign | NAN);
        }
        int rounded;
        if (magnitude < (128 - bias) << 23) {
            // Subnormal there: adding a number whose last place is the step aligns the mantissa so that the hardware
            // rounds.
            int aligner = (151 - bias - mantissa) << 23;
            float aligned = Float.intBitsToFloat(magnitude) + Float.intBitsToFloat(aligner);
            rounded = Float.floatToRawIntBits(aligned) - aligner;
        } else {
            int drop = 23 - mantissa;
            int nearest = magnitude + (1 << (drop - 1)) - 1 + ((magnitude >>> drop) & 1);
            rounded = (nearest - ((127 - bias) << 23)) >>> drop;
        }
        return (byte) (sign | Math.min(rounded, largest));
    }
}
