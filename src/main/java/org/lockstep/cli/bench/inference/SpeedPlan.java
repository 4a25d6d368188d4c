package org.lockstep.cli.bench.inference;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What every rank measures, the same on all of them. Immutable.
 *
 * @param promptLength tokens of the prompt of {@code pp}; 0 to leave it out
 * @param outputLength tokens that {@code tg} adds to a sequence, fewer for more than one; 0 to leave it out
 * @param batches sequences of a replica that are decoded together
 * @param depth tokens in the cache before {@code tg}; null for what the peers have: none for one sequence, 128 for more
 * @param engine whether whole requests are measured too
 * @param repetitions of each measurement
 */
public record SpeedPlan(
        int promptLength,
        int outputLength,
        List<Integer> batches,
        @Nullable Integer depth,
        boolean engine,
        int repetitions) {
    private static final int DEPTH_OF_A_BATCH = 128;
    private static final int FEWEST_STEPS = 4;

    public SpeedPlan {
        batches = List.copyOf(batches);
    }

    /** Steps of {@code tg}: of several sequences a quarter, for each step takes longer. */
    int steps(int batch) {
        return batch == 1 ? outputLength : Math.max(Math.min(FEWEST_STEPS, outputLength), outputLength / 4);
    }

    int depth(int batch) {
        return depth != null ? depth : batch == 1 ? 0 : DEPTH_OF_A_BATCH;
    }

    int largestBatch() {
        return batches.stream().mapToInt(Integer::intValue).max().orElse(1);
    }

    /** The most positions that a sequence of any measurement comes to. */
    public int positions() {
        int decoded = batches.stream()
                .mapToInt(batch -> depth(batch) + steps(batch))
                .max()
                .orElse(0);
        int whole = engine ? promptLength + outputLength : promptLength;
        return Math.max(1, Math.max(whole, outputLength == 0 ? 0 : decoded));
    }
}
