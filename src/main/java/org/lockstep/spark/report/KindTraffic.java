package org.lockstep.spark.report;

import java.util.Collection;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;
import org.lockstep.topology.GroupKind;

/**
 * What the ranks of a run moved through all groups of a kind. Immutable.
 *
 * <p>The ranks of a group make its operations together, so the one that spends least time inside them is the one that comes last:
 * what another spends beyond that is waiting. Where the ranks of a group come last in turn, this is less than what they waited.
 *
 * @param size ranks in the largest of the groups
 * @param operations completed; each counts once for each of its ranks
 * @param bytes of the callers' buffers, not of the wire
 * @param nanos inside operations, waiting for peers included; about
 * @param waitNanos of those, beyond the time of the rank of the same group that spent least: waiting for peers, at least
 */
public record KindTraffic(GroupKind kind, int size, long operations, long bytes, long nanos, long waitNanos) {
    /** By kind, in the order of kinds; none for kinds that moved nothing. */
    public static List<KindTraffic> of(Collection<RankReport> ranks) {
        SortedMap<GroupKind, List<GroupTraffic>> byKind = ranks.stream()
                .flatMap(rank -> rank.groups().stream())
                .collect(Collectors.groupingBy(GroupTraffic::kind, TreeMap::new, Collectors.toList()));
        return byKind.values().stream().map(KindTraffic::ofKind).toList();
    }

    private static KindTraffic ofKind(List<GroupTraffic> parts) {
        long unavoidable = parts.stream().collect(Collectors.groupingBy(GroupTraffic::index)).values().stream()
                .mapToLong(group -> group.size()
                        * group.stream().mapToLong(GroupTraffic::nanos).min().orElse(0))
                .sum();
        long nanos = sum(parts, GroupTraffic::nanos);
        return new KindTraffic(
                parts.get(0).kind(),
                parts.stream().mapToInt(GroupTraffic::size).max().orElse(0),
                sum(parts, GroupTraffic::operations),
                sum(parts, GroupTraffic::bytes),
                nanos,
                nanos - unavoidable);
    }

    private static long sum(List<GroupTraffic> parts, ToLongFunction<GroupTraffic> what) {
        return parts.stream().mapToLong(what).sum();
    }
}
