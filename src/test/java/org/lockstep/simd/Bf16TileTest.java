package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;

/** A tile of bf16 gives the bits of one that was widened first, also on machines whose products do not use it. */
class Bf16TileTest extends ArithmeticContract {
    private static final int COUNT = 37;
    private static final int AT = 3;
    private static final int STRIDE = 80; // from one row's sums to the next

    @Override
    void check(Arithmetic arithmetic) {
        int panel = arithmetic.panel();
        short[] w = new short[AT + COUNT * panel];
        for (int i = 0; i < w.length; i++) {
            w[i] = (short) (Float.floatToRawIntBits((float) random.nextGaussian()) >>> 16);
        }
        float[] x = numbers(AT + COUNT * Arithmetic.ROWS);
        float[] expected = numbers(AT + Arithmetic.ROWS * STRIDE);
        float[] actual = expected.clone();
        float[] wide = new float[COUNT * panel];
        Arithmetic plain = Arithmetic.plain(panel);
        plain.widenBf16(w, AT, COUNT, wide, 0);
        plain.tile(Arithmetic.ROWS, COUNT, wide, 0, x, AT, expected, AT, STRIDE);

        arithmetic.tileBf16(COUNT, w, AT, x, AT, actual, AT, STRIDE);

        assertThat(actual).isEqualTo(expected);
    }
}
