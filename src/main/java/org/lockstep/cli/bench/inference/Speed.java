package org.lockstep.cli.bench.inference;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How fast one test was, on all ranks together. Immutable.
 *
 * @param test {@code pp512}, {@code tg} or {@code generate}
 * @param batch sequences of a replica
 * @param depth tokens of each sequence in the cache before
 * @param tokensPerSecond over all replicas, the median of the repetitions
 * @param bestTokensPerSecond of the fastest repetition
 * @param firstToken time from the start to a sequence's first token
 * @param interToken time from one token of a sequence to its next
 * @param shares where the time went
 * @param memory of the rank that needs most of each; null where the same stage was measured before
 */
public record Speed(
        String test,
        int batch,
        int depth,
        double tokensPerSecond,
        double bestTokensPerSecond,
        Percentiles firstToken,
        Percentiles interToken,
        Shares shares,
        @Nullable MemoryUse memory) {

    /**
     * What half, nine in ten and ninety-nine in a hundred of some times did not exceed, in nanoseconds; zeros where there
     * are none.
     */
    public record Percentiles(double p50, double p90, double p99) {
        static final Percentiles NONE = new Percentiles(0, 0, 0);

        /** By the nearest rank, of all of {@code nanos}. */
        static Percentiles of(long[] nanos) {
            if (nanos.length == 0) {
                return NONE;
            }
            long[] sorted = nanos.clone();
            Arrays.sort(sorted);
            return new Percentiles(at(sorted, 0.5), at(sorted, 0.9), at(sorted, 0.99));
        }

        private static double at(long[] sorted, double share) {
            return sorted[Math.max(0, (int) Math.ceil(share * sorted.length) - 1)];
        }

        public boolean isNone() {
            return p50 == 0;
        }
    }

    /**
     * Parts of the ranks' time, mean over the ranks; together 1.
     *
     * @param kernels outside of any group's operation
     * @param collectives in the operations of the tensor group on the rank of it that spends least in them, for which
     *     hence nobody else was late
     * @param waiting what others of the tensor group spend in them beyond that, and all of the other groups' operations:
     *     those hand over a few numbers, and wait for the stage that makes them
     */
    public record Shares(double kernels, double collectives, double waiting) {}

    /**
     * Bytes on a rank's device.
     *
     * @param weights of the model
     * @param cache of keys and values
     * @param activations and all else that a step writes
     */
    public record MemoryUse(long weights, long cache, long activations) {}
}
