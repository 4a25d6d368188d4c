package org.lockstep.model;

import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Tensor;

/**
 * All that a step writes besides the cache: the activations, allocated once for the largest step.
 *
 * <p>In a pipeline there are two residual streams, so that one can be sent while the other is received. Views for the number of tokens at hand are kept until another number comes, so that decoding allocates none.
 * Confined to the rank's thread.
 */
final class RunState {
    private final Activations[] sides; // equal but for hidden
    private final Activations[] views; // of the latest number of tokens, by side
    private int side;

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
        private Activations withHidden(Tensor other) {
            return new Activations(other, normed, delta, query, key, value, attended, gate, up);
        }

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

    private RunState(Activations... sides) {
        this.sides = sides;
        this.views = sides.clone();
    }

    /**
     * Room for one step.
     *
     * @param turns whether {@link #turn} leads to another residual stream
     */
    static RunState allocate(StageMemory memory, ModelConfig config, ShardPlan plan, int maxTokens, boolean turns) {
        int hidden = config.hiddenSize();
        int query = plan.heads() * config.headSize();
        int keyValue = plan.keyValueHeads() * config.headSize();
        Activations first = new Activations(
                memory.zeros(DataType.F32, maxTokens, hidden),
                memory.zeros(DataType.F32, maxTokens, hidden),
                memory.zeros(DataType.F32, maxTokens, hidden),
                memory.zeros(DataType.F32, maxTokens, query),
                memory.zeros(DataType.F32, maxTokens, keyValue),
                memory.zeros(DataType.F32, maxTokens, keyValue),
                memory.zeros(DataType.F32, maxTokens, query),
                memory.zeros(DataType.F32, maxTokens, plan.intermediate()),
                memory.zeros(DataType.F32, maxTokens, plan.intermediate()));
        return turns
                ? new RunState(first, first.withHidden(memory.zeros(DataType.F32, maxTokens, hidden)))
                : new RunState(first);
    }

    int maxTokens() {
        return (int) sides[0].hidden().shape().dim(0);
    }

    /** The activations of a step of {@code tokens} tokens; their contents are those of the step before. */
    Activations of(int tokens) {
        if (views[side].hidden().shape().dim(0) != tokens) {
            views[side] = sides[side].rows(tokens);
        }
        return views[side];
    }

    /** The residual stream at hand, of {@code tokens} tokens. */
    Tensor hidden(int tokens) {
        return of(tokens).hidden();
    }

    /** Takes the other residual stream to hand. */
    void turn() {
        side = (side + 1) % sides.length;
    }
}
