package org.lockstep.model;

import org.lockstep.collective.Communicator;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.Kernels;

/**
 * Grouped-query attention (Vaswani et al., 2017; Ainslie et al., 2023), cut by heads.
 *
 * <p>Each rank attends with its own heads; the output projection joins them. Confined to the rank's thread.
 */
final class Attention {
    private final Kernels kernels;
    private final RotaryTable rotary;
    private final int headSize;
    private final ColumnParallelLinear wq; // (heads · headSize, hidden)
    private final ColumnParallelLinear wk; // (kvHeads · headSize, hidden)
    private final ColumnParallelLinear wv; // (kvHeads · headSize, hidden)
    private final RowParallelLinear wo; // (hidden, heads · headSize)

    private Attention(
            Kernels kernels,
            RotaryTable rotary,
            int headSize,
            ColumnParallelLinear wq,
            ColumnParallelLinear wk,
            ColumnParallelLinear wv,
            RowParallelLinear wo) {
        this.kernels = kernels;
        this.rotary = rotary;
        this.headSize = headSize;
        this.wq = wq;
        this.wk = wk;
        this.wv = wv;
        this.wo = wo;
    }

    /** Loads this rank's heads of the projections {@code prefix.q_proj}, {@code k_proj}, {@code v_proj}, {@code o_proj}. */
    static Attention load(
            Parameters parameters,
            Kernels kernels,
            Communicator tensor,
            RotaryTable rotary,
            String prefix,
            ModelConfig config,
            ShardPlan plan) {
        int size = config.headSize();
        int hidden = config.hiddenSize();
        int queries = config.heads() * size;
        int pairs = config.keyValueHeads() * size;
        int query = plan.heads() * size;
        int firstPair = plan.firstKeyValueHead() * size;
        int pair = plan.keyValueHeads() * size;
        boolean bias = config.attentionBias();
        return new Attention(
                kernels,
                rotary,
                size,
                ColumnParallelLinear.load(
                        parameters, kernels, prefix + ".q_proj", hidden, queries, plan.rank() * query, query, bias),
                ColumnParallelLinear.load(
                        parameters, kernels, prefix + ".k_proj", hidden, pairs, firstPair, pair, bias),
                ColumnParallelLinear.load(
                        parameters, kernels, prefix + ".v_proj", hidden, pairs, firstPair, pair, bias),
                RowParallelLinear.load(
                        parameters,
                        kernels,
                        tensor,
                        prefix + ".o_proj",
                        queries,
                        hidden,
                        plan.attentionSegments(),
                        bias));
    }

    /** From {@code normed} to {@code delta}; this step's keys and values join the cache. */
    void forward(RunState.Activations a, BatchLayout layout, CacheBlocks cache) {
        // queries, keys, values
        wq.forward(a.normed(), a.query());
        wk.forward(a.normed(), a.key());
        wv.forward(a.normed(), a.value());

        // positions
        kernels.rotate(a.query(), rotary.cos(), rotary.sin(), layout, headSize);
        kernels.rotate(a.key(), rotary.cos(), rotary.sin(), layout, headSize);

        // attention over the context, this step included
        kernels.writeCache(a.key(), a.value(), cache, layout);
        kernels.attention(a.query(), cache, layout, a.attended());

        // all heads of all ranks
        wo.forward(a.attended(), a.delta());
    }
}
