package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.topology.ProcessGroup;

/**
 * The ranks of a group by host, whatever their numbers, as one of them sees it. Immutable.
 *
 * <p>As many columns go through all hosts as the smallest has ranks: the first ranks of all hosts, the second ones, and so on. A
 * column carries what belongs to the ranks whose place on their host, modulo the number of columns, is its own.
 */
final class Hosts {
    private final List<List<Integer>> ranks;
    private final int home;
    private final int place;
    private final int columns;
    private final int most;
    private final List<List<List<Integer>>> carried; // by column and host: asked for in every all-gather

    private Hosts(List<List<Integer>> ranks, int home, int place) {
        this.ranks = ranks.stream().map(List::copyOf).toList();
        this.home = home;
        this.place = place;
        this.columns = ranks.stream().mapToInt(List::size).min().orElseThrow();
        this.most = ranks.stream().mapToInt(List::size).max().orElseThrow();
        this.carried = IntStream.range(0, columns)
                .mapToObj(column -> ranks.stream()
                        .map(there -> IntStream.iterate(column, at -> at < there.size(), at -> at + columns)
                                .mapToObj(there::get)
                                .toList())
                        .toList())
                .toList();
    }

    /** The host of each rank in group, by its first rank. */
    static int[] byRank(ProcessGroup group, Roster roster) {
        int[] hosts = new int[group.size()];
        List<Integer> firsts = new ArrayList<>();
        for (int rank = 0; rank < hosts.length; rank++) {
            int mine = group.rank(rank);
            if (rank > 0 && roster.transport(group.rank(rank - 1), mine) != TransportKind.TCP) {
                hosts[rank] = hosts[rank - 1]; // as most are
                continue;
            }
            hosts[rank] = firsts.stream()
                    .filter(first -> roster.transport(group.rank(first), mine) != TransportKind.TCP)
                    .findFirst()
                    .orElse(rank);
            if (hosts[rank] == rank) {
                firsts.add(rank);
            }
        }
        return hosts;
    }

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

    /** Ranks in group by host, each host's in ascending order; hosts in the order of their first ranks. */
    List<List<Integer>> ranks() {
        return ranks;
    }

    /** The host of the rank that looks. */
    int home() {
        return home;
    }

    /** The place of the rank that looks among those of its host. */
    int place() {
        return place;
    }

    /** How many hosts there are. */
    int count() {
        return ranks.size();
    }

    /** The ranks of the host with the fewest. */
    int columns() {
        return columns;
    }

    /** On the host of the rank that looks. */
    List<Integer> near() {
        return ranks.get(home);
    }

    /** Whether the rank that looks is in a column. */
    boolean isInColumn() {
        return place < columns;
    }

    /** The ranks of one column, by host. */
    List<Integer> column(int column) {
        return ranks.stream().map(host -> host.get(column)).toList();
    }

    /** The ranks for which one column carries on one host. */
    List<Integer> carried(int column, int host) {
        return carried.get(column).get(host);
    }

    /** On which host a rank in group is. */
    int hostOf(int rank) {
        return IntStream.range(0, count())
                .filter(host -> ranks.get(host).contains(rank))
                .findFirst()
                .orElseThrow();
    }

    /** Whether some ranks share a host, and some do not. */
    boolean isSpread() {
        return count() > 1 && most > 1;
    }

    /**
     * Whether what each host adds up to is a subtree of the one order of addition, and those of all hosts are of one size: as many
     * ranks on each as a power of two, and those follow each other.
     */
    boolean isCutAlike() {
        return most == columns && Integer.bitCount(most) == 1 && ranks.stream().allMatch(Hosts::follow);
    }

    private static boolean follow(List<Integer> there) {
        return there.get(there.size() - 1) - there.get(0) == there.size() - 1;
    }
}
