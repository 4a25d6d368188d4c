package org.lockstep.spark;

import java.util.Locale;
import java.util.OptionalLong;
import org.apache.spark.SparkContext;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.model.RankMemory;
import org.lockstep.spark.device.RankDevice;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.preflight.TaskRequest;
import org.lockstep.spark.settings.Settings;

/**
 * What a rank will have, and what it will want.
 *
 * @param device that it computes on
 * @param threads that it computes with on a CPU, where every JVM has as many ranks as it has slots for
 * @param memory that the fullest rank holds
 * @param room in bytes that there is for it: heap, or memory of its GPU; empty where the driver does not know
 */
public record PerRank(RankDevice device, int threads, RankMemory memory, OptionalLong room) {
    private static final long MIB = 1 << 20;

    /** What there is for one of {@code world} ranks, in tasks that ask for this. */
    static OptionalLong room(SparkContext spark, TaskRequest tasks, int world, RankDevice device) {
        return device.isCuda() ? device.room() : OptionalLong.of(ClusterPreflight.heapOfARank(spark, tasks, world));
    }

    /**
     * What one of {@code world} ranks has, in tasks that ask for this.
     *
     * @throws LockstepException NOT_ENOUGH_MEMORY if a rank cannot have what it wants
     */
    static PerRank of(SparkContext spark, TaskRequest tasks, int world, RankDevice device, RankMemory memory) {
        int threads = ClusterPreflight.cores(tasks.conf()).of(world); // shared by the ranks of a local master only
        OptionalLong room = room(spark, tasks, world, device);
        PerRank rank = new PerRank(device, threads, memory, room);
        if (room.isPresent() && memory.total() > room.getAsLong()) {
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_MEMORY,
                            "a rank needs " + mib(memory.total()) + " of " + rank.kindOfRoom() + " (" + rank.parts()
                                    + "), there are " + mib(room.getAsLong()) + " for it")
                    .attempt(more(spark, device) + ", more tensor or pipeline ranks, a smaller "
                            + Settings.CACHE_MEMORY.key() + " or --max-model-len, or --dtype q8")
                    .exception();
        }
        return rank;
    }

    private static String more(SparkContext spark, RankDevice device) {
        if (device.isCuda()) {
            return "a larger --gpu-memory-utilization";
        }
        return spark.isLocal() ? "a larger -Xmx (--driver-memory)" : "more spark.executor.memory";
    }

    private String kindOfRoom() {
        return device.isCuda() ? "GPU memory" : "heap";
    }

    private String parts() {
        return mib(memory.weights()) + " of weights, " + mib(memory.cache()) + " of cache, " + mib(memory.step())
                + " for a step";
    }

    /** Rounded up. */
    private static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,d MiB", (bytes + MIB - 1) / MIB);
    }

    /** What it computes with, in a word or two: {@code 2 cores each}. */
    String each() {
        return device.isCuda() ? "on cuda" : threads + (threads == 1 ? " core each" : " cores each");
    }

    @Override
    public String toString() {
        String computes = device.isCuda() ? "" : ", " + threads + (threads == 1 ? " core" : " cores");
        return "a rank: " + device + computes + "; " + parts()
                + (room.isEmpty()
                        ? ""
                        : String.format(Locale.ROOT, "; %,d MiB of %s", room.getAsLong() / MIB, kindOfRoom()))
                + (device.spare() == 0
                        ? ""
                        : "; " + mib(device.spare()) + " of each GPU stay free for graphs and groups");
    }
}
