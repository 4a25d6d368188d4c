package org.lockstep.collective;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;

/**
 * Which groups are connected, in what order: the same on all ranks, and known before they meet. Groups of the same ranks are
 * one, under the most telling name. Arithmetic; thread-safe. What is asked of a rank costs its own groups alone; the numbers of
 * all groups are reckoned when one of them is first asked for.
 */
public final class GroupPlan {
    private final ProcessGrid grid;
    private final List<GroupKind> kinds;
    private @Nullable Map<List<Integer>, Integer> numbers; // guarded by this

    private GroupPlan(ProcessGrid grid, List<GroupKind> kinds) {
        this.grid = grid;
        this.kinds = kinds;
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

    /** The groups of a rank by kind, in the order of connecting; kinds with the same ranks have the same group. */
    public Map<GroupKind, ProcessGroup> ofRank(int rank) {
        Map<List<Integer>, ProcessGroup> byRanks = new HashMap<>();
        Map<GroupKind, ProcessGroup> mine = new LinkedHashMap<>();
        for (GroupKind kind : kinds) {
            grid.group(kind, rank)
                    .ifPresent(group ->
                            mine.put(kind, byRanks.computeIfAbsent(List.copyOf(group.ranks()), ranks -> group)));
        }
        return mine;
    }

    /** The different groups of a rank, in the order of connecting. */
    public List<ProcessGroup> inOrder(int rank) {
        return ofRank(rank).values().stream().distinct().toList();
    }

    /** How many groups have more than one rank. */
    public int several() {
        return numbers().size();
    }

    /** The number of a group among those of more than one rank, from 0; empty for one that is not among them. */
    public OptionalInt number(ProcessGroup group) {
        Integer found = numbers().get(List.copyOf(group.ranks()));
        return found == null ? OptionalInt.empty() : OptionalInt.of(found);
    }

    /** How many ids are of {@code party} where the id of group i is made by party i mod {@code parties}. */
    public int share(int party, int parties) {
        return several() / parties + (party < several() % parties ? 1 : 0);
    }

    private synchronized Map<List<Integer>, Integer> numbers() {
        Map<List<Integer>, Integer> made = numbers;
        if (made == null) {
            made = new HashMap<>();
            for (GroupKind kind : kinds) {
                for (ProcessGroup group : grid.groups(kind)) {
                    if (group.size() > 1) {
                        made.putIfAbsent(List.copyOf(group.ranks()), made.size());
                    }
                }
            }
            numbers = made;
        }
        return made;
    }
}
