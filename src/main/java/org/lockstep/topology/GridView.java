package org.lockstep.topology;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * One division of the ranks along the five axes: the rule behind every group.
 *
 * <p>A rank is a number in mixed radix: the axes are its digits, the first of the {@link RankOrder} the lowest. The
 * groups of a set of axes let these digits vary and hold the others still. This is Megatron-Core's rank generator
 * ({@code generate_masked_orthogonal_rank_groups}), and the order of groups and of ranks inside them is the same.
 *
 * <p>Groups are computed when asked for: one rank's in the time of its size, all of a kind in the time of the world.
 */
public final class GridView {
    /** One axis of the mixed radix: how many values it takes, and how far apart they are. */
    private record Digit(Axis axis, int size, int stride) {}

    private final List<Digit> digits;
    private final int worldSize;
    private final int rankOffset;

    /**
     * A grid of these sizes.
     *
     * @param sizes at least 1 each, 1 where absent; context and expert not both above 1
     * @param order an axis that it leaves out must have size 1
     * @param rankOffset the lowest rank, at least 0
     */
    GridView(Map<Axis, Integer> sizes, RankOrder order, int rankOffset) {
        List<Digit> inOrder = new ArrayList<>();
        long stride = 1;
        for (Axis axis : order.complete()) {
            int size = sizes.getOrDefault(axis, 1);
            if (size > 1 && !order.axes().contains(axis)) {
                throw new IllegalArgumentException(
                        "order " + order + " does not name axis " + axis + ", which has size " + size);
            }
            inOrder.add(new Digit(axis, size, (int) stride));
            stride *= size;
            if (size < 1 || rankOffset < 0 || stride + rankOffset > Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        axis + " size (" + size + ") at rank offset (" + rankOffset + ") is out of range");
            }
        }
        this.digits = List.copyOf(inOrder);
        this.worldSize = (int) stride;
        this.rankOffset = rankOffset;
        if (size(Axis.CP) > 1 && size(Axis.EP) > 1) {
            throw new IllegalArgumentException("context (" + size(Axis.CP) + ") and expert (" + size(Axis.EP)
                    + ") cannot both be above 1 in one view of the ranks");
        }
    }

    /** The number of ranks: the product of the sizes. */
    public int worldSize() {
        return worldSize;
    }

    /** The size along an axis. */
    public int size(Axis axis) {
        return digit(axis).size();
    }

    /** The distance between neighbouring ranks along an axis. */
    public int stride(Axis axis) {
        return digit(axis).stride();
    }

    /**
     * Where a rank sits along an axis, from 0.
     *
     * @throws IllegalArgumentException if the rank is not in the grid
     */
    public int coordinate(int rank, Axis axis) {
        Digit digit = digit(axis);
        return position(rank) / digit.stride() % digit.size();
    }

    /**
     * The rank at a coordinate of an axis that shares every other coordinate with the given rank.
     *
     * @throws IllegalArgumentException if the rank or the coordinate is not in the grid
     */
    public int neighbour(int rank, Axis axis, int coordinate) {
        if (coordinate < 0 || coordinate >= size(axis)) {
            throw new IllegalArgumentException(axis + " rank (" + coordinate + ") must be in 0.." + (size(axis) - 1));
        }
        return rank + (coordinate - coordinate(rank, axis)) * stride(axis);
    }

    /**
     * Every group in which exactly these axes vary; together they partition the ranks.
     *
     * @throws IllegalArgumentException if there is no axis
     */
    public List<ProcessGroup> groups(Set<Axis> axes) {
        return groups(name(axes), axes);
    }

    /**
     * The group of a rank in which exactly these axes vary.
     *
     * @throws IllegalArgumentException if there is no axis or the rank is not in the grid
     */
    public ProcessGroup group(Set<Axis> axes, int rank) {
        return group(name(axes), axes, rank);
    }

    List<ProcessGroup> groups(String name, Set<Axis> axes) {
        int[] members = combinations(axes);
        int[] bases = combinations(others(axes));
        List<ProcessGroup> groups = new ArrayList<>(bases.length);
        for (int index = 0; index < bases.length; index++) {
            groups.add(group(name, index, bases[index], members));
        }
        return Collections.unmodifiableList(groups);
    }

    ProcessGroup group(String name, Set<Axis> axes, int rank) {
        int index = 0;
        int base = 0;
        int radix = 1;
        for (Digit digit : digits) {
            if (!axes.contains(digit.axis())) {
                int coordinate = position(rank) / digit.stride() % digit.size();
                index += coordinate * radix;
                base += coordinate * digit.stride();
                radix *= digit.size();
            }
        }
        return group(name, index, base, combinations(axes));
    }

    private ProcessGroup group(String name, int index, int base, int[] members) {
        int[] ranks = new int[members.length];
        for (int i = 0; i < ranks.length; i++) {
            ranks[i] = rankOffset + base + members[i];
        }
        return ProcessGroup.of(name, index, ranks);
    }

    /** The sums of all combinations of these axes' digits, the innermost axis fastest; they ascend. */
    private int[] combinations(Set<Axis> axes) {
        int[] sums = {0};
        for (Digit digit : digits) {
            if (axes.contains(digit.axis())) {
                int[] wider = new int[sums.length * digit.size()];
                for (int i = 0; i < wider.length; i++) {
                    wider[i] = sums[i % sums.length] + i / sums.length * digit.stride();
                }
                sums = wider;
            }
        }
        return sums;
    }

    /** The lengths of the runs of consecutive ranks that the axes close, longest first: the world, …, 1. */
    List<Integer> runs() {
        return Stream.concat(Stream.of(worldSize), digits.stream().map(Digit::stride))
                .distinct()
                .sorted(Comparator.reverseOrder())
                .toList();
    }

    private Digit digit(Axis axis) {
        for (Digit digit : digits) {
            if (digit.axis() == axis) {
                return digit;
            }
        }
        throw new AssertionError(axis); // an order is always completed to all five
    }

    private int position(int rank) {
        if (rank < rankOffset || rank - rankOffset >= worldSize) {
            throw new IllegalArgumentException(
                    "rank (" + rank + ") must be in " + rankOffset + ".." + (rankOffset + worldSize - 1));
        }
        return rank - rankOffset;
    }

    private static Set<Axis> others(Set<Axis> axes) {
        EnumSet<Axis> others = EnumSet.allOf(Axis.class);
        others.removeAll(axes);
        return others;
    }

    private static String name(Set<Axis> axes) {
        if (axes.isEmpty()) {
            throw new IllegalArgumentException("a group varies at least one axis");
        }
        return axes.stream().sorted().map(Axis::token).collect(Collectors.joining("-"));
    }
}
