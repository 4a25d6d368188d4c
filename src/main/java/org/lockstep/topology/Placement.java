package org.lockstep.topology;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Which partition of a barrier stage becomes which rank, so that ranks that talk most share a host.
 *
 * <p>A scheduler deals partitions round-robin over its executors: the worst order. Here hosts are ordered by their
 * smallest partition, inside a host by device and then partition, and consecutive ranks fill a host. Where the hosts are
 * ragged (3 + 5 devices, tensor 2) each host first gives whole runs of the longest kind that the order of axes knows
 * (replicas, say), then whole runs of the next, down to tensor groups, and the odd ones come last: no other placement
 * keeps more tensor groups inside a host when tensor is the innermost axis.
 *
 * <p>The same slots give the same ranks on every task, in whatever order they come. Immutable.
 */
public final class Placement {
    private final ProcessGrid grid;
    private final List<Slot> byRank;
    private final int[] rankOfPartition;
    private final int[] localRanks;
    private final int[] ranksOnHost;

    /**
     * Where a partition runs.
     *
     * @param host equal for partitions that share a host (or whatever the caller counts as near)
     * @param device sorts the devices of a host, as text; may be empty where there is none
     * @param partition from 0 to the number of slots - 1
     */
    public record Slot(String host, String device, int partition) {
        private static final Comparator<Slot> BY_DEVICE =
                Comparator.comparing(Slot::device).thenComparingInt(Slot::partition);
    }

    /**
     * A group whose ranks are not all on one host.
     *
     * @param group the group
     * @param hosts its hosts, in the order of its ranks, at least two
     */
    public record SpanningGroup(ProcessGroup group, List<String> hosts) {
        public SpanningGroup {
            hosts = List.copyOf(hosts);
        }

        @Override
        public String toString() {
            return group + " spans hosts " + String.join(", ", hosts);
        }
    }

    private Placement(ProcessGrid grid, List<Slot> byRank) {
        this.grid = grid;
        this.byRank = List.copyOf(byRank);
        int count = grid.worldSize();
        if (byRank.size() != count) {
            throw new IllegalArgumentException(
                    "slots (" + byRank.size() + ") are not as many as world size (" + count + ")");
        }
        rankOfPartition = new int[count];
        Arrays.fill(rankOfPartition, -1);
        for (int i = 0; i < count; i++) {
            int partition = byRank.get(i).partition();
            if (partition < 0 || partition >= count) {
                throw new IllegalArgumentException("partition (" + partition + ") must be in 0.." + (count - 1));
            }
            if (rankOfPartition[partition] >= 0) {
                throw new IllegalArgumentException("partition (" + partition + ") has two slots");
            }
            rankOfPartition[partition] = grid.rankOffset() + i;
        }
        localRanks = new int[count];
        ranksOnHost = new int[count];
        for (List<Slot> host : hosts(byRank).values()) {
            for (int i = 0; i < host.size(); i++) {
                int at = index(rank(host.get(i).partition()));
                localRanks[at] = i;
                ranksOnHost[at] = host.size();
            }
        }
    }

    /**
     * The placement by the rule above.
     *
     * @param slots one for each rank of the grid, in any order
     * @throws IllegalArgumentException if they are too few or too many, or a partition is missing or named twice
     */
    public static Placement of(ProcessGrid grid, Collection<Slot> slots) {
        Map<String, List<Slot>> rest = hosts(slots);
        List<Slot> byRank = new ArrayList<>(slots.size());
        for (int run : grid.dense().runs()) {
            for (List<Slot> host : rest.values()) {
                List<Slot> whole = host.subList(0, host.size() / run * run);
                byRank.addAll(whole);
                whole.clear();
            }
        }
        return new Placement(grid, byRank);
    }

    /**
     * The placement that the caller wants: slot i is the i-th rank.
     *
     * @throws IllegalArgumentException as {@link #of}
     */
    public static Placement inOrder(ProcessGrid grid, List<Slot> slots) {
        return new Placement(grid, slots);
    }

    /** The slots of each host by device, the hosts by their smallest partition. */
    private static Map<String, List<Slot>> hosts(Collection<Slot> slots) {
        Map<String, List<Slot>> hosts = new LinkedHashMap<>();
        slots.stream()
                .sorted(Comparator.comparingInt(Slot::partition))
                .forEach(slot -> hosts.computeIfAbsent(slot.host(), host -> new ArrayList<>())
                        .add(slot));
        hosts.values().forEach(host -> host.sort(Slot.BY_DEVICE));
        return hosts;
    }

    /** The rank of a partition. */
    public int rank(int partition) {
        if (partition < 0 || partition >= rankOfPartition.length) {
            throw new IllegalArgumentException(
                    "partition (" + partition + ") must be in 0.." + (rankOfPartition.length - 1));
        }
        return rankOfPartition[partition];
    }

    /** The partition of a rank. */
    public int partition(int rank) {
        return slot(rank).partition();
    }

    /** The host of a rank. */
    public String host(int rank) {
        return slot(rank).host();
    }

    /** Where a rank runs. */
    public Slot slot(int rank) {
        return byRank.get(index(rank));
    }

    /** The position of a rank among the slots of its host, by device: its local rank. */
    public int localRank(int rank) {
        return localRanks[index(rank)];
    }

    /** How many ranks are on the host of a rank, itself included. */
    public int ranksOnHost(int rank) {
        return ranksOnHost[index(rank)];
    }

    /** The slots in the order of their ranks. */
    public List<Slot> slots() {
        return byRank;
    }

    /** The hosts, by their smallest partition. */
    public List<String> hosts() {
        return List.copyOf(hosts(byRank).keySet());
    }

    /** The groups of a kind that are not inside one host. */
    public List<SpanningGroup> spanning(GroupKind kind) {
        return grid.groups(kind).stream()
                .map(group -> new SpanningGroup(
                        group, group.stream().mapToObj(this::host).distinct().toList()))
                .filter(spanning -> spanning.hosts().size() > 1)
                .toList();
    }

    private int index(int rank) {
        if (rank < grid.rankOffset() || rank - grid.rankOffset() >= byRank.size()) {
            throw new IllegalArgumentException("rank (" + rank + ") must be in " + grid.rankOffset() + ".."
                    + (grid.rankOffset() + byRank.size() - 1));
        }
        return rank - grid.rankOffset();
    }

    /** The machine in one line a host: {@code a: 0 1 4}. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        hosts(byRank).forEach((host, slots) -> {
            text.append(text.isEmpty() ? "" : "\n").append(host).append(':');
            slots.forEach(slot -> text.append(' ').append(rank(slot.partition())));
        });
        return text.toString();
    }
}
