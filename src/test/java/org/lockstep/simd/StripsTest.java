package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One or two strips, with one to four rows, give the chains that are written here, and touch no sum beside them. */
class StripsTest {
    private static final int AT = 3;
    private static final int STRIDE = 40; // from one row's sums to the next

    private final Random random = new Random(1);

    private float[] numbers(int count) {
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = (float) random.nextGaussian();
        }
        return numbers;
    }

    private void check(Arithmetic arithmetic, int rows, int count, int at, int next) {
        float[] w = numbers(2 * AT + Math.max(at, at + next) + count * Arithmetic.LANES);
        float[] x = numbers(AT + count * rows);
        float[] expected = numbers(AT + Arithmetic.ROWS * STRIDE);
        float[] actual = expected.clone();
        for (int m = 0; m < rows; m++) {
            for (int j = 0; j < (next == 0 ? 1 : 2) * Arithmetic.LANES; j++) {
                int from = j < Arithmetic.LANES ? at : at + next;
                int to = AT + m * STRIDE + j;
                for (int k = 0; k < count; k++) {
                    float element = w[from + k * Arithmetic.LANES + j % Arithmetic.LANES];
                    expected[to] = Math.fma(element, x[AT + k * rows + m], expected[to]);
                }
            }
        }

        arithmetic.strips(rows, count, w, at, next, x, AT, actual, AT, STRIDE);

        assertThat(actual).as("%d rows, %d of k, next at %d", rows, count, next).isEqualTo(expected);
    }

    private void checkAll(Arithmetic arithmetic) {
        for (int rows = 1; rows <= Arithmetic.ROWS; rows++) {
            for (int count : new int[] {0, 1, 7, 16, 37}) {
                check(arithmetic, rows, count, 5, 0);
                check(arithmetic, rows, count, 5, 1000);
                check(arithmetic, rows, count, 1000, -990);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 16, 32, 64})
    void inPlainJava(int panel) {
        checkAll(Arithmetic.plain(panel));
    }

    @Test
    void inVectors() {
        assumeThat(Arithmetic.isVectorEnabled()).as("the module of the vectors").isTrue();
        checkAll(Arithmetic.vectors());
    }

    @Test
    void fromOneToTheOther() {
        Arithmetic warming = Arithmetic.create();
        for (int round = 0; round < 100; round++) {
            checkAll(warming);
        }
    }
}
