package org.lockstep.spark;

import java.util.Locale;
import org.apache.spark.SparkContext;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.model.RankMemory;

/**
 * What a rank will have, and what it will want.
 *
 * @param threads that it computes with, where every JVM has as many ranks as it has slots for
 * @param memory that the fullest rank holds
 * @param heap in bytes that there are for it
 */
public record PerRank(int threads, RankMemory memory, long heap) {
    private static final long MIB = 1 << 20;

    /**
     * What one of {@code world} ranks has.
     *
     * @throws LockstepException NOT_ENOUGH_MEMORY if a rank cannot have what it wants
     */
    static PerRank of(SparkContext spark, int world, RankMemory memory) {
        int threads = ClusterPreflight.cores(spark.getConf()).of(world); // shared by the ranks of a local master only
        PerRank rank = new PerRank(threads, memory, ClusterPreflight.heapOfARank(spark, world));
        if (memory.total() > rank.heap) {
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_MEMORY,
                            "a rank needs " + mib(memory.total()) + " of heap (" + rank.parts() + "), there are "
                                    + mib(rank.heap) + " for it")
                    .attempt((spark.isLocal() ? "a larger -Xmx (--driver-memory)" : "more spark.executor.memory")
                            + ", more tensor or pipeline ranks, a smaller " + Settings.CACHE_MEMORY.key()
                            + " or --max-model-len, or --dtype q8")
                    .exception();
        }
        return rank;
    }

    private String parts() {
        return mib(memory.weights()) + " of weights, " + mib(memory.cache()) + " of cache, " + mib(memory.step())
                + " for a step";
    }

    /** Rounded up. */
    private static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,d MiB", (bytes + MIB - 1) / MIB);
    }

    @Override
    public String toString() {
        return "a rank: " + threads + (threads == 1 ? " core; " : " cores; ") + parts() + "; "
                + String.format(Locale.ROOT, "%,d MiB", heap / MIB) + " of heap";
    }
}
