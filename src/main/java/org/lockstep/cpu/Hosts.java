package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The ranks of a group by host, whatever their numbers, as one of them sees it. Immutable.
 *
 * <p>As many columns go through all hosts as the smallest has ranks: the first ranks of all hosts, the second ones, and so on. A
 * column carries what belongs to the ranks whose place on their host, modulo the number of columns, is its own.
 *
 * @param ranks in group, by host, each host's in ascending order; hosts in the order of their first ranks
 * @param home the host of the rank that looks
 * @param place of that rank among its host's
 */
record Hosts(List<List<Integer>> ranks, int home, int place) {
    Hosts {
        ranks = ranks.stream().map(List::copyOf).toList();
    }

    /**
     * A run of ranks of one host whose sum is a subtree of the sum of all: as many as a power of two, from a multiple of that on.
     *
     * @param first rank in group
     * @param index among the segments of its host
     */
    record Segment(int host, int index, int first, int width) {}

    /**
     * As rank in group {@code me} sees it.
     *
     * @param hosts by rank in group: equal for ranks of one host
     */
    static Hosts of(int[] hosts, int me) {
        Map<Integer, List<Integer>> byHost = new LinkedHashMap<>();
        for (int rank = 0; rank < hosts.length; rank++) {
            byHost.computeIfAbsent(hosts[rank], host -> new ArrayList<>()).add(rank);
        }
        List<List<Integer>> ranks = List.copyOf(byHost.values());
        int home = List.copyOf(byHost.keySet()).indexOf(hosts[me]);
        return new Hosts(ranks, home, ranks.get(home).indexOf(me));
    }

    int count() {
        return ranks.size();
    }

    int columns() {
        return ranks.stream().mapToInt(List::size).min().orElseThrow();
    }

    /** The ranks of the host with the most. */
    int most() {
        return ranks.stream().mapToInt(List::size).max().orElseThrow();
    }

    /** On the host of the rank that looks. */
    List<Integer> near() {
        return ranks.get(home);
    }

    /** Whether the rank that looks is in a column. */
    boolean isInColumn() {
        return place < columns();
    }

    /** The ranks of one column, by host. */
    List<Integer> column(int column) {
        return ranks.stream().map(host -> host.get(column)).toList();
    }

    /** The ranks for which one column carries on one host. */
    List<Integer> carried(int column, int host) {
        List<Integer> there = ranks.get(host);
        int columns = columns();
        return IntStream.iterate(column, place -> place < there.size(), place -> place + columns)
                .mapToObj(there::get)
                .toList();
    }

    /** On which host a rank in group is. */
    int hostOf(int rank) {
        return IntStream.range(0, count())
                .filter(host -> ranks.get(host).contains(rank))
                .findFirst()
                .orElseThrow();
    }

    /** All of them, by their first ranks. */
    List<Segment> segments() {
        List<Segment> all = new ArrayList<>();
        for (int host = 0; host < count(); host++) {
            List<Integer> there = ranks.get(host);
            int index = 0;
            for (int from = 0; from < there.size(); index++) {
                int first = there.get(from);
                int width = 1;
                while (first % (2 * width) == 0 && follow(there, from, 2 * width)) {
                    width *= 2;
                }
                all.add(new Segment(host, index, first, width));
                from += width;
            }
        }
        return all.stream().sorted(Comparator.comparingInt(Segment::first)).toList();
    }

    /** Whether so many ranks from one on follow each other. */
    private static boolean follow(List<Integer> there, int from, int width) {
        return from + width <= there.size() && there.get(from + width - 1) == there.get(from) + width - 1;
    }
}
