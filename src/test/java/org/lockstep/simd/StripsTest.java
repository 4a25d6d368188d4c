package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;

/** One or two strips, with one to four rows, give the chains that are written here, and touch no sum beside them. */
class StripsTest extends ArithmeticContract {
    private static final int AT = 3;
    private static final int STRIDE = 40; // from one row's sums to the next

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

    @Override
    void check(Arithmetic arithmetic) {
        for (int rows = 1; rows <= Arithmetic.ROWS; rows++) {
            for (int count : new int[] {0, 1, 7, 16, 37}) {
                check(arithmetic, rows, count, 5, 0);
                check(arithmetic, rows, count, 5, 1000);
                check(arithmetic, rows, count, 1000, -990);
            }
        }
    }

    @Override
    int roundsOfWarming() {
        return 100; // of many checks each
    }
}
