package org.lockstep.model;

import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Tensor;

/**
 * All that a step writes besides the cache: the activations, allocated once for the largest step.
 *
 * <p>Views for the number of tokens at hand are kept until another number comes, so that decoding allocates none.
 * Confined to the rank's thread.
 */
final class RunState {
    private final Activations all;
    private Activations current;

    /**
     * The activations of a step. Each is f32.
     *
     * @param hidden (tokens, hidden): the residual stream
     * @param normed (tokens, hidden)
     * @param delta (tokens, hidden): what a block adds to the residual stream
     * @param query (tokens, heads · headSize) of this rank
     * @param key (tokens, kvHeads · headSize) of this rank
     * @param value likewise
     * @param attended as {@code query}
     * @param gate (tokens, intermediate) of this rank
     * @param up likewise
     */
    record Activations(
            Tensor hidden,
            Tensor normed,
            Tensor delta,
            Tensor query,
            Tensor key,
            Tensor value,
            Tensor attended,
            Tensor gate,
            Tensor up) {
        private Activations rows(int tokens) {
            return new Activations(
                    hidden.rows(0, tokens),
                    normed.rows(0, tokens),
                    delta.rows(0, tokens),
                    query.rows(0, tokens),
                    key.rows(0, tokens),
                    value.rows(0, tokens),
                    attended.rows(0, tokens),
                    gate.rows(0, tokens),
                    up.rows(0, tokens));
        }
    }

    private RunState(Activations all) {
        this.all = all;
        this.current = all;
    }

    static RunState allocate(StageMemory memory, ModelConfig config, ShardPlan plan, int maxTokens) {
        int hidden = config.hiddenSize();
        int query = plan.heads() * config.headSize();
        int keyValue = plan.keyValueHeads() * config.headSize();
        return new RunState(new Activations(
                memory.zeros(DataType.F32, maxTokens, hidden),
                memory.zeros(DataType.F32, maxTokens, hidden),
                memory.zeros(DataType.F32, maxTokens, hidden),
                memory.zeros(DataType.F32, maxTokens, query),
                memory.zeros(DataType.F32, maxTokens, keyValue),
                memory.zeros(DataType.F32, maxTokens, keyValue),
                memory.zeros(DataType.F32, maxTokens, query),
                memory.zeros(DataType.F32, maxTokens, plan.intermediate()),
                memory.zeros(DataType.F32, maxTokens, plan.intermediate())));
    }

    int maxTokens() {
        return (int) all.hidden().shape().dim(0);
    }

    /** The activations of a step of {@code tokens} tokens; their contents are those of the step before. */
    Activations of(int tokens) {
        if (current.hidden().shape().dim(0) != tokens) {
            current = all.rows(tokens);
        }
        return current;
    }
}
