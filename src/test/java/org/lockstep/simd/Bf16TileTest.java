package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A tile of bf16 gives the bits of one that was widened first, also on machines whose products do not use it. */
class Bf16TileTest {
    private static final int COUNT = 37;
    private static final int AT = 3;
    private static final int STRIDE = 80; // from one row's sums to the next

    private final Random random = new Random(1);

    private float[] numbers(int count) {
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = (float) random.nextGaussian();
        }
        return numbers;
    }

    private void check(Arithmetic arithmetic) {
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

    @ParameterizedTest
    @ValueSource(ints = {8, 16, 32, 64})
    void inPlainJava(int panel) {
        check(Arithmetic.plain(panel));
    }

    @Test
    void inVectors() {
        assumeThat(Arithmetic.isVectorEnabled()).as("the module of the vectors").isTrue();
        check(Arithmetic.vectors());
    }

    @Test
    void fromOneToTheOther() {
        Arithmetic warming = Arithmetic.create();
        for (int round = 0; round < 2000; round++) {
            check(warming);
        }
    }
}
