package org.lockstep.collective;

import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;

/**
 * Which groups are connected, in what order: the same on all ranks, and known before they meet. Groups of the same ranks are
 * one, under the most telling name. Arithmetic; immutable.
 */
public final class GroupPlan {
    private final ProcessGrid grid;
    private final List<GroupKind> kinds;
    private final Map<List<Integer>, ProcessGroup> byRanks = new LinkedHashMap<>();
    private final List<List<Integer>> several = new ArrayList<>();

    private GroupPlan(ProcessGrid grid, List<GroupKind> kinds) {
        this.grid = grid;
        this.kinds = kinds;
        for (GroupKind kind : kinds) {
            for (ProcessGroup group : grid.groups(kind)) {
                List<Integer> ranks = List.copyOf(group.ranks());
                if (byRanks.putIfAbsent(ranks, group) == null && group.size() > 1) {
                    several.add(ranks);
                }
            }
        }
    }

    /** The groups of these kinds: the narrow ones first, the world last. */
    public static GroupPlan of(ProcessGrid grid, Collection<GroupKind> kinds) {
        List<GroupKind> order = new ArrayList<>(List.of(GroupKind.TENSOR, GroupKind.PIPELINE, GroupKind.DATA));
        for (GroupKind kind : GroupKind.values()) {
            if (!order.contains(kind) && kind != GroupKind.WORLD) {
                order.add(kind);
            }
        }
        order.add(GroupKind.WORLD);
        order.retainAll(kinds);
        return new GroupPlan(grid, List.copyOf(order));
    }

    /** The groups of a rank by kind; kinds with the same ranks have the same group. */
    public Map<GroupKind, ProcessGroup> ofRank(int rank) {
        Map<GroupKind, ProcessGroup> mine = new EnumMap<>(GroupKind.class);
        for (GroupKind kind : kinds) {
            grid.group(kind, rank).ifPresent(group -> mine.put(kind, named(group)));
        }
        return mine;
    }

    private ProcessGroup named(ProcessGroup group) {
        return byRanks.getOrDefault(List.copyOf(group.ranks()), group);
    }

    /** The different groups of a rank, in the order of connecting. */
    public List<ProcessGroup> inOrder(int rank) {
        return byRanks.values().stream().filter(group -> group.contains(rank)).toList();
    }

    /** How many groups have more than one rank. */
    public int several() {
        return several.size();
    }

    /** The number of a group among those of more than one rank, from 0; empty for one that is not among them. */
    public OptionalInt number(ProcessGroup group) {
        int found = several.indexOf(List.copyOf(group.ranks()));
        return found < 0 ? OptionalInt.empty() : OptionalInt.of(found);
    }

    /** How many ids are of {@code party} where the id of group i is made by party i mod {@code parties}. */
    public int share(int party, int parties) {
        return several() / parties + (party < several() % parties ? 1 : 0);
    }
}
