package org.lockstep.spark.report;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.topology.GroupKind;

/**
 * What the ranks of a run moved by one operation through all groups of a kind. Immutable.
 *
 * <p>The ranks of a group make its collectives together, so the one that spends least time inside them is the one that comes last:
 * what another spends beyond that is waiting. Where the ranks of a group come last in
 * turn, or send to each other by twos, this is less than what they waited.
 *
 * @param size ranks in the largest of the groups
 * @param operations completed; each counts once for each of its ranks
 * @param bytes of the callers' buffers, not of the wire
 * @param nanos inside operations, waiting for peers included; about
 * @param waitNanos of those, beyond the time of the rank of the same group that spent least: waiting for peers, at least
 */
public record CollectiveTraffic(
        GroupKind kind, Operation operation, int size, long operations, long bytes, long nanos, long waitNanos) {
    private record Key(GroupKind kind, Operation operation) {}

    /** By kind and operation, in the order of both; none for those that moved nothing. */
    public static List<CollectiveTraffic> of(Collection<RankReport> ranks) {
        SortedMap<Key, List<GroupTraffic>> parts = ranks.stream()
                .flatMap(rank -> rank.groups().stream())
                .collect(Collectors.groupingBy(
                        part -> new Key(part.kind(), part.operation()),
                        () -> new TreeMap<>(Comparator.comparing(Key::kind).thenComparing(Key::operation)),
                        Collectors.toList()));
        return parts.values().stream().map(CollectiveTraffic::sum).toList();
    }

    private static CollectiveTraffic sum(List<GroupTraffic> parts) {
        long unavoidable = parts.stream().collect(Collectors.groupingBy(GroupTraffic::index)).values().stream()
                .mapToLong(group -> group.size()
                        * group.stream().mapToLong(GroupTraffic::nanos).min().orElse(0))
                .sum();
        long nanos = sum(parts, GroupTraffic::nanos);
        return new CollectiveTraffic(
                parts.get(0).kind(),
                parts.get(0).operation(),
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
