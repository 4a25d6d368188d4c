package org.lockstep.cpu;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Who is near whom in a group: the ranks of one host, and each one's counterparts on the others. Immutable.
 *
 * <p>Only groups are cut so whose hosts each have the same number of ranks, one after the other, and that is a power of two, more
 * than one: the sum of a host is then a subtree of the sum of all.
 *
 * @param near ranks in group on this rank's host, itself included
 * @param across those with this rank's place on each host, itself included
 * @param place of this rank among {@code near}
 */
record Reach(List<Integer> near, List<Integer> across, int place) {
    Reach {
        near = List.copyOf(near);
        across = List.copyOf(across);
    }

    /**
     * The reach of rank in group {@code me}; empty where there is one host only, or the hosts are not cut alike.
     *
     * @param hosts by rank in group
     */
    static Optional<Reach> of(int[] hosts, int me) {
        int each = 1;
        while (each < hosts.length && hosts[each] == hosts[0]) {
            each++;
        }
        if (each == hosts.length || each == 1 || Integer.bitCount(each) != 1 || hosts.length % each != 0) {
            return Optional.empty();
        }
        for (int rank = 0; rank < hosts.length; rank++) {
            boolean first = rank % each == 0;
            if (first ? rank > 0 && isAmong(hosts, rank) : hosts[rank] != hosts[rank - 1]) {
                return Optional.empty();
            }
        }
        int perHost = each;
        int start = me - me % each;
        List<Integer> near = IntStream.range(start, start + each).boxed().toList();
        List<Integer> across = IntStream.range(0, hosts.length / each)
                .mapToObj(host -> host * perHost + me % perHost)
                .toList();
        return Optional.of(new Reach(near, across, me % each));
    }

    /** Whether the host of {@code rank} has ranks before it. */
    private static boolean isAmong(int[] hosts, int rank) {
        return Arrays.stream(hosts, 0, rank).anyMatch(host -> host == hosts[rank]);
    }
}
