package org.lockstep.topology;

import java.io.Serializable;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The whole plan of a world: its sizes, its order, and from these every group of every kind.
 *
 * <p>Two views divide the same ranks: the dense one along tp, cp, dp, pp, and the expert one along etp, ep, edp, pp. The
 * pipelines of both must be the same. The plan is a value of four components; groups are computed when asked for.
 *
 * @param worldSize the number of ranks, at least 1
 * @param sizes resolved: nothing is left to infer
 * @param order which axis is innermost
 * @param rankOffset the lowest rank: a grid may lie on a part of a larger world
 */
public record ProcessGrid(int worldSize, ParallelSizes sizes, RankOrder order, int rankOffset) implements Serializable {

    /**
     * Resolves the sizes and checks the whole plan.
     *
     * @throws IllegalArgumentException if the sizes do not fill the world, the order leaves out an axis that is divided,
     *     the offset is out of range, or the pipelines of the expert view differ
     */
    public ProcessGrid {
        sizes = sizes.resolve(worldSize);
        GridView dense = dense(sizes, order, rankOffset);
        if (sizes.hasExperts()) {
            expert(sizes, order, rankOffset, dense);
        }
    }

    /** A world in the default order {@code tp-cp-ep-dp-pp}. */
    public static ProcessGrid of(int worldSize, ParallelSizes sizes) {
        return new ProcessGrid(worldSize, sizes, RankOrder.DEFAULT, 0);
    }

    /** A world in this order. */
    public static ProcessGrid of(int worldSize, ParallelSizes sizes, RankOrder order) {
        return new ProcessGrid(worldSize, sizes, order, 0);
    }

    /** A part of a larger world: {@code worldSize} ranks from {@code rankOffset} up. */
    public static ProcessGrid of(int worldSize, ParallelSizes sizes, RankOrder order, int rankOffset) {
        return new ProcessGrid(worldSize, sizes, order, rankOffset);
    }

    /** The view of dense layers: tp, cp, dp, pp. */
    public GridView dense() {
        return dense(sizes, order, rankOffset);
    }

    /**
     * The view of expert layers: in it tp, ep, dp are the experts' sizes and cp is 1.
     *
     * @throws IllegalArgumentException if its pipelines differ from the dense ones, which can be only without experts:
     *     with experts the grid could not have been made
     */
    public GridView expert() {
        return expert(sizes, order, rankOffset, dense());
    }

    /** Every group of a kind, in order of their index. */
    public List<ProcessGroup> groups(GroupKind kind) {
        List<ProcessGroup> groups = view(kind).groups(kind.token(), kind.axes());
        return isEmbedding(kind)
                ? groups.stream().map(pipeline -> embedding(kind, pipeline)).toList()
                : groups;
    }

    /** Every group of the dense view in which exactly these axes vary. */
    public List<ProcessGroup> groups(Set<Axis> axes) {
        return dense().groups(axes);
    }

    /** Every group of the dense view for a token such as {@code tp-dp}. */
    public List<ProcessGroup> groups(String axes) {
        return groups(Axis.parseSet(axes));
    }

    /**
     * The group of a kind that a rank is in; empty only where the rank holds no embedding.
     *
     * @throws IllegalArgumentException if the rank is not in the grid
     */
    public Optional<ProcessGroup> group(GroupKind kind, int rank) {
        ProcessGroup group = view(kind).group(kind.token(), kind.axes(), rank);
        return Optional.of(isEmbedding(kind) ? embedding(kind, group) : group).filter(found -> found.contains(rank));
    }

    /**
     * Where a rank sits along an axis, from 0; ep is that of the expert view, the others are those of the dense view.
     *
     * @throws IllegalArgumentException if the rank is not in the grid
     */
    public int coordinate(int rank, Axis axis) {
        return (axis == Axis.EP && sizes.hasExperts() ? expert() : dense()).coordinate(rank, axis);
    }

    /**
     * One rank's view of this plan.
     *
     * @throws IllegalArgumentException if the rank is not in the grid
     */
    public ParallelState state(int rank) {
        return new ParallelState(this, rank, 0);
    }

    private GridView view(GroupKind kind) {
        return kind.isExpert() ? expert() : dense();
    }

    private static boolean isEmbedding(GroupKind kind) {
        return kind == GroupKind.EMBEDDING || kind == GroupKind.POSITION_EMBEDDING;
    }

    /** The stages of a pipeline that hold an embedding. */
    private ProcessGroup embedding(GroupKind kind, ProcessGroup pipeline) {
        int last = pipeline.size() - 1;
        Integer split = sizes.splitRank();
        int[] ranks = pipeline.stream()
                .filter(rank -> {
                    int stage = pipeline.rankInGroup(rank);
                    return stage == 0
                            || (kind == GroupKind.EMBEDDING && stage == last)
                            || (split != null && stage == split);
                })
                .toArray();
        return ProcessGroup.of(kind.token(), pipeline.index(), ranks);
    }

    private static GridView dense(ParallelSizes sizes, RankOrder order, int rankOffset) {
        return new GridView(
                Map.of(Axis.TP, sizes.tp(), Axis.CP, sizes.cp(), Axis.DP, sizes.dp(), Axis.PP, sizes.pp()),
                order,
                rankOffset);
    }

    private static GridView expert(ParallelSizes sizes, RankOrder order, int rankOffset, GridView dense) {
        GridView expert = new GridView(
                Map.of(Axis.TP, sizes.etp(), Axis.EP, sizes.ep(), Axis.DP, sizes.edp(), Axis.PP, sizes.pp()),
                order,
                rankOffset);
        if (sizes.pp() > 1 && expert.stride(Axis.PP) != dense.stride(Axis.PP)) {
            throw new IllegalArgumentException("pipelines of the dense and the expert view differ in order " + order
                    + ": their stages are " + dense.stride(Axis.PP) + " and " + expert.stride(Axis.PP)
                    + " ranks apart; put pp last, or make data (" + sizes.dp() + ") equal to expert data ("
                    + sizes.edp() + ")");
        }
        return expert;
    }
}
