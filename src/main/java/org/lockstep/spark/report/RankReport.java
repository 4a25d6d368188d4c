package org.lockstep.spark.report;

import java.io.Serializable;
import java.util.List;
import java.util.Map;
import org.lockstep.topology.GroupKind;

/**
 * What one rank spent its time on.
 *
 * @param replica that it is a part of
 * @param stayed whether it had connected groups and its shard of the weights from the run before
 * @param meetingNanos in Spark's allGather
 * @param connectNanos in everything of ours between the task's start and connected groups
 * @param loadNanos reading its shard of the weights; 0 where it stayed
 * @param generateNanos from the first prompt's tokenisation to the last completion's arrival
 * @param computeNanos of those, in its layers, waits for its tensor group included, and in sampling
 * @param collectiveNanos of those, inside collective operations, waiting for peers included
 * @param timeline of the generating
 * @param latencies of its replica's rows, on the replica's source; empty on all others
 * @param groups what it moved through each group of more than one rank, by operation
 * @param errors how many of its rows cannot be answered, by code and name
 */
public record RankReport(
        int rank,
        int replica,
        String host,
        boolean stayed,
        long meetingNanos,
        long connectNanos,
        long loadNanos,
        long generateNanos,
        long computeNanos,
        long collectiveNanos,
        Timeline timeline,
        Latencies latencies,
        List<GroupTraffic> groups,
        Map<String, Long> errors)
        implements Serializable {
    /** Of its computing, without the waits of its tensor group. */
    public long ownNanos() {
        long tensor = groups.stream()
                .filter(group -> group.kind() == GroupKind.TENSOR)
                .mapToLong(GroupTraffic::nanos)
                .sum();
        return Math.max(0, computeNanos - tensor);
    }
}
