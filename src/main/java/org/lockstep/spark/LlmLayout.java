package org.lockstep.spark;

import java.util.OptionalInt;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;

/**
 * What a user asked of the grid of ranks. Immutable.
 *
 * @param sizes of the axes
 * @param order of the axes, innermost first
 * @param ranks the world size, where replicas are not set
 */
record LlmLayout(ParallelSizes sizes, RankOrder order, OptionalInt ranks) {
    static final LlmLayout NONE = new LlmLayout(ParallelSizes.tensor(1), RankOrder.DEFAULT, OptionalInt.empty());

    LlmLayout withSizes(ParallelSizes changed) {
        return new LlmLayout(changed, order, ranks);
    }

    LlmLayout withOrder(RankOrder changed) {
        return new LlmLayout(sizes, changed, ranks);
    }

    LlmLayout withRanks(int worldSize) {
        return new LlmLayout(sizes, order, OptionalInt.of(worldSize));
    }

    /** The sizes, as far as they are known before a cluster is asked. */
    @Override
    public String toString() {
        return "tensor " + sizes.tp() + " × pipeline " + sizes.pp()
                + (sizes.dp() == ParallelSizes.INFER ? "" : " × data " + sizes.dp());
    }
}
