package org.lockstep.topology;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The order in which ranks fill the axes: the first axis is the innermost, its neighbours are consecutive ranks.
 *
 * <p>An axis may be left out where its size is 1.
 *
 * @param axes innermost first, each at most once, at least one
 */
public record RankOrder(List<Axis> axes) implements Serializable {
    /** {@code tp-cp-ep-dp-pp}, Megatron's: data parallel neighbours share a host, pipeline stages cross hosts. */
    public static final RankOrder DEFAULT = parse("tp-cp-ep-dp-pp");

    /** {@code tp-cp-ep-pp-dp}, vLLM's: a replica is a run of consecutive ranks, so that a host holds whole replicas. */
    public static final RankOrder TP_PP_DP = parse("tp-cp-ep-pp-dp");

    public RankOrder {
        axes = List.copyOf(axes);
        if (axes.isEmpty()) {
            throw new IllegalArgumentException("a rank order names at least one axis");
        }
        if (EnumSet.copyOf(axes).size() != axes.size()) {
            throw new IllegalArgumentException("rank order " + join(axes) + " names an axis twice");
        }
    }

    /**
     * The order of a text such as {@code tp-pp-dp}.
     *
     * @throws IllegalArgumentException if a part is no axis or is named twice
     */
    public static RankOrder parse(String text) {
        return new RankOrder(Arrays.stream(text.split("-", -1)).map(Axis::parse).toList());
    }

    /** All five axes: those named, then the absent ones (which must have size 1, so that their place is no matter). */
    List<Axis> complete() {
        List<Axis> all = new ArrayList<>(axes);
        for (Axis axis : Axis.values()) {
            if (!axes.contains(axis)) {
                all.add(axis);
            }
        }
        return all;
    }

    private static String join(List<Axis> axes) {
        return axes.stream().map(Axis::token).collect(Collectors.joining("-"));
    }

    /** The text that {@link #parse} reads. */
    @Override
    public String toString() {
        return join(axes);
    }
}
