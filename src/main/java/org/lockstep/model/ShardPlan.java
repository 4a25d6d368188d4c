package org.lockstep.model;

/**
 * How one rank's share is cut from each layer: pure arithmetic (Shoeybi et al., 2019, Megatron-LM). Immutable.
 *
 * <p>Heads, intermediate columns and the vocabulary are dealt in equal runs by rank; the vocabulary is padded where it does
 * not divide. Key/value heads are dealt likewise while there are enough; where there are fewer than ranks, neighbouring
 * ranks hold the same one.
 *
 * <p>Segments make sharded sums equal to unsharded ones, bit for bit: the dot products that a row-parallel layer cuts are
 * summed in a number of segments that is a property of the model, and each rank sums its share of them. That holds where
 * the number of ranks divides the number of segments; elsewhere a rank sums its share in one run.
 *
 * @param rank in the tensor group
 * @param ranks the size of the tensor group
 * @param heads query heads of this rank
 * @param keyValueHeads of this rank, from {@code firstKeyValueHead} on
 * @param intermediate columns of this rank's MLP
 * @param vocabularyRows of this rank, padding included; its first is token {@code rank · vocabularyRows}
 * @param attentionSegments of this rank's attention output
 * @param mlpSegments of this rank's MLP output
 */
record ShardPlan(
        int rank,
        int ranks,
        int heads,
        int keyValueHeads,
        int firstKeyValueHead,
        int intermediate,
        int vocabularyRows,
        int attentionSegments,
        int mlpSegments) {
    /** A host seldom has more devices, and longer runs are faster. */
    private static final int MOST_SEGMENTS = 8;

    /** The share of {@code rank} among {@code ranks}, which {@link ModelConfig#checkSplit} allows. */
    static ShardPlan of(ModelConfig config, int rank, int ranks) {
        return new ShardPlan(
                rank,
                ranks,
                config.heads() / ranks,
                Math.max(1, config.keyValueHeads() / ranks),
                (int) ((long) rank * config.keyValueHeads() / ranks),
                config.intermediateSize() / ranks,
                (config.vocabularySize() + ranks - 1) / ranks,
                share(config.heads(), ranks),
                share(config.intermediateSize(), ranks));
    }

    /** A rank's share of the largest power of two, up to a limit, that divides {@code count}. */
    private static int share(int count, int ranks) {
        int segments = Math.min(MOST_SEGMENTS, Integer.lowestOneBit(count));
        return segments % ranks == 0 ? segments / ranks : 1;
    }

    /** The first token of this rank's vocabulary. */
    int firstToken() {
        return rank * vocabularyRows;
    }
}
