package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;

/** Blocks of bytes give the sums that are written here, met by one row or by four, in one panel or in two, whole or cut short. */
class ByteBlocksTest extends ArithmeticContract {
    private static final int AT = 3;
    private static final int COUNT = 2 * Arithmetic.BLOCK + 5;
    private static final int BLOCKS = 3;

    /** Sums of a row of {@code x} and a row of a panel, one block after the other. */
    private static float expected(
            float sum,
            byte[] w,
            int at,
            int row,
            int panel,
            float[] scales,
            int scalesAt,
            float[] x,
            int xAt,
            int stride) {
        float all = sum;
        for (int block = 0; block < BLOCKS; block++) {
            float chain = 0;
            for (int k = block * Arithmetic.BLOCK; k < Math.min(COUNT, (block + 1) * Arithmetic.BLOCK); k++) {
                chain = Math.fma(w[at + k * panel + PanelLayout.slot8(row, panel)], x[xAt + k * stride], chain);
            }
            all = Math.fma(chain, scales[scalesAt + block * panel + row], all);
        }
        return all;
    }

    @Override
    void check(Arithmetic arithmetic) {
        int panel = arithmetic.panel();
        int next = COUNT * panel + 7;
        int scalesNext = BLOCKS * panel + 1;
        byte[] w = new byte[AT + next + COUNT * panel];
        random.nextBytes(w);
        float[] scales = numbers(AT + scalesNext + BLOCKS * panel);
        float[] x = numbers(AT + COUNT * Arithmetic.ROWS);
        float[] start = numbers(AT + 2 * Arithmetic.ROWS * panel);
        chain(arithmetic, w, 0, scales, 0, x, start);
        chain(arithmetic, w, next, scales, scalesNext, x, start);
        tile(arithmetic, w, scales, x, start);
    }

    private static void chain(
            Arithmetic arithmetic, byte[] w, int next, float[] scales, int scalesNext, float[] x, float[] start) {
        int panel = arithmetic.panel();
        float[] expected = start.clone();
        for (int row = 0; row < (next == 0 ? 1 : 2) * panel; row++) {
            int other = row / panel;
            expected[AT + row] = expected(
                    start[AT + row],
                    w,
                    AT + other * next,
                    row % panel,
                    panel,
                    scales,
                    AT + other * scalesNext,
                    x,
                    AT,
                    1);
        }
        float[] actual = start.clone();

        arithmetic.chainQ8(COUNT, w, AT, next, scales, AT, scalesNext, x, AT, actual, AT);

        assertThat(actual).as("one row, next panel at %d", next).isEqualTo(expected);
    }

    private static void tile(Arithmetic arithmetic, byte[] w, float[] scales, float[] x, float[] start) {
        int panel = arithmetic.panel();
        int stride = panel + 1;
        float[] expected = start.clone();
        for (int m = 0; m < Arithmetic.ROWS; m++) {
            for (int row = 0; row < panel; row++) {
                int at = AT + m * stride + row;
                expected[at] = expected(start[at], w, AT, row, panel, scales, AT, x, AT + m, Arithmetic.ROWS);
            }
        }
        float[] actual = start.clone();
        float[] wide = new float[COUNT * panel];

        arithmetic.widenQ8(w, AT, COUNT, wide, 0);
        for (int block = 0; block < BLOCKS; block++) {
            int k = block * Arithmetic.BLOCK;
            arithmetic.tileBlock(
                    Math.min(Arithmetic.BLOCK, COUNT - k),
                    wide,
                    k * panel,
                    x,
                    AT + k * Arithmetic.ROWS,
                    scales,
                    AT + block * panel,
                    actual,
                    AT,
                    stride);
        }

        assertThat(actual).as("four rows").isEqualTo(expected);
    }
}
