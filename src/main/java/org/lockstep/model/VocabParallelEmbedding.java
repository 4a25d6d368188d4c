package org.lockstep.model;

import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;

/**
 * The embedding cut by vocabulary: each rank looks up the tokens it has and leaves zeros for the others, an all-reduce
 * joins them (Shoeybi et al., 2019).
 *
 * <p>Confined to the rank's thread.
 */
final class VocabParallelEmbedding {
    static final String NAME = "model.embed_tokens.weight";

    private final Kernels kernels;
    private final Communicator tensor;
    private final Weight table; // (share of the vocabulary, hidden)
    private final int firstToken;

    private VocabParallelEmbedding(Kernels kernels, Communicator tensor, Weight table, int firstToken) {
        this.kernels = kernels;
        this.tensor = tensor;
        this.table = table;
        this.firstToken = firstToken;
    }

    /** Loads this rank's share of the table; a tied model may store it under the name of the head. */
    static VocabParallelEmbedding load(
            Parameters parameters, Kernels kernels, Communicator tensor, ModelConfig config, ShardPlan plan) {
        boolean underHead =
                config.tiedEmbeddings() && !parameters.contains(NAME) && parameters.contains(ParallelLmHead.NAME);
        Weight table = parameters.rows(
                underHead ? ParallelLmHead.NAME : NAME,
                config.vocabularySize(),
                config.hiddenSize(),
                plan.firstToken(),
                plan.vocabularyRows());
        return new VocabParallelEmbedding(kernels, tensor, table, plan.firstToken());
    }

    /** The table, for a head tied to it. */
    Weight table() {
        return table;
    }

    /**
     * Looks tokens up, in the whole vocabulary.
     *
     * @param ids all of them in the vocabulary
     * @param out (tokens, hidden), equal on all ranks
     */
    void forward(int[] ids, Tensor out) {
        kernels.embed(table, ids, firstToken, out);
        tensor.allReduce(out.buffer(), ReduceOp.SUM);
    }
}
