package org.lockstep.cpu;

import java.util.Arrays;
import org.lockstep.simd.Arithmetic;
import org.lockstep.simd.Exponential;

/** What one worker has at hand while it attends: grows to the largest part seen. Confined to one thread. */
final class AttentionBench {
    final float[] scores; // (rows of a group, tile)
    final float[] weights; // (tile, rows of a group), the scores' exponentials
    final int[] seen = new int[Arithmetic.ROWS]; // positions of the tile that a row sees
    private final float[] lanes = new float[Arithmetic.LANES];

    int rows;
    int width; // of a head, in whole strips
    float[] queries = new float[0]; // by group of rows: (headSize, rows of the group)
    float[] sums = queries; // (rows, width)
    float[] totals = queries; // (rows)
    private float[] largest = queries; // (rows)

    AttentionBench(int tile) {
        this.scores = new float[Arithmetic.ROWS * tile];
        this.weights = new float[Arithmetic.ROWS * tile];
    }

    /** Makes room for so many rows, and forgets the last ones. */
    void begin(int count, int headSize) {
        width = (headSize + Arithmetic.LANES - 1) / Arithmetic.LANES * Arithmetic.LANES;
        if (totals.length < count || sums.length < count * width || queries.length < count * headSize) {
            queries = new float[count * headSize];
            sums = new float[count * width];
            totals = new float[count];
            largest = new float[count];
        } else {
            Arrays.fill(sums, 0, count * width, 0);
            Arrays.fill(totals, 0, count, 0);
        }
        Arrays.fill(largest, 0, count, Float.NEGATIVE_INFINITY);
        rows = count;
    }

    /** Exponentials of the first scores from {@code at} on, less the largest so far; what was summed before shrinks to it. */
    void soften(Arithmetic arithmetic, int at, int count, int row) {
        int padded = (count + Arithmetic.LANES - 1) / Arithmetic.LANES * Arithmetic.LANES;
        Arrays.fill(scores, at + count, at + padded, Float.NEGATIVE_INFINITY);
        float most = Math.max(largest[row], arithmetic.largest(scores, at, padded));
        if (most != largest[row]) {
            float shrink = Exponential.of(largest[row] - most);
            largest[row] = most;
            totals[row] *= shrink;
            for (int i = row * width; i < (row + 1) * width; i++) {
                sums[i] *= shrink;
            }
        }
        totals[row] += arithmetic.exponentials(scores, at, padded, most, lanes);
    }
}
