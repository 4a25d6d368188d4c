package org.lockstep.model;

import org.lockstep.tensor.DataType;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.LayerRange;

/**
 * What the fullest rank of a split model holds, in bytes: arithmetic alone, before anything is loaded. Immutable.
 *
 * @param weights norms and biases as the f32 they are widened to, a device's padding left out
 * @param cache keys and values, f32
 * @param step what the largest step writes, its logits included
 */
public record RankMemory(long weights, long cache, long step) {

    /**
     * The memory of one of {@code tensor × pipeline} ranks.
     *
     * @param stored how the files hold the matrices, where the config leaves it to them
     * @param maxTokens of a step
     * @param maxRows whose logits a step wants
     */
    public static RankMemory of(
            ModelConfig config,
            WeightType stored,
            int tensor,
            int pipeline,
            CacheSize cache,
            int maxTokens,
            int maxRows) {
        ShardPlan plan = ShardPlan.of(config, 0, tensor);
        RankMemory fullest = new RankMemory(0, 0, 0);
        for (int stage = 0; stage < pipeline; stage++) {
            int layers = LayerRange.of(config.layers(), pipeline, stage).size();
            boolean last = stage == pipeline - 1;
            RankMemory here = new RankMemory(
                    layers * layer(config, plan, type(config, stored)) + tables(config, plan, stored, stage == 0, last),
                    2L * layers * cache.tokens() * plan.keyValueHeads() * config.headSize() * DataType.F32.bytes(),
                    step(config, plan, maxTokens, last ? maxRows : 0));
            fullest = here.total() > fullest.total() ? here : fullest;
        }
        return fullest;
    }

    private static WeightType type(ModelConfig config, WeightType stored) {
        WeightType chosen = config.weightType();
        return chosen == null ? stored : chosen;
    }

    private static long layer(ModelConfig config, ShardPlan plan, WeightType type) {
        long hidden = config.hiddenSize();
        long query = (long) plan.heads() * config.headSize();
        long pair = (long) plan.keyValueHeads() * config.headSize();
        long biases = (config.attentionBias() ? query + 2 * pair + hidden : 0)
                + (config.mlpBias() ? 2L * plan.intermediate() + hidden : 0);
        return type.bytes(query + 2 * pair, hidden)
                + type.bytes(hidden, query)
                + type.bytes(2L * plan.intermediate(), hidden)
                + type.bytes(hidden, plan.intermediate())
                + (2 * hidden + biases) * DataType.F32.bytes();
    }

    /** The embedding, the last norm and the head. */
    private static long tables(ModelConfig config, ShardPlan plan, WeightType stored, boolean first, boolean last) {
        long table = type(config, stored).bytes(plan.vocabularyRows(), config.hiddenSize());
        boolean shared = first && last && config.tiedEmbeddings();
        return (first ? table : 0)
                + (last && !shared ? table : 0)
                + (last ? (long) config.hiddenSize() * DataType.F32.bytes() : 0);
    }

    private static long step(ModelConfig config, ShardPlan plan, int tokens, int rows) {
        long query = (long) plan.heads() * config.headSize();
        long pair = (long) plan.keyValueHeads() * config.headSize();
        long token = 3L * config.hiddenSize() + 2 * query + 2 * pair + 2L * plan.intermediate();
        long padded = plan.ranks() == 1 ? 0 : (2L * plan.ranks() + 1) * plan.vocabularyRows();
        return (tokens * token + rows * (config.vocabularySize() + padded)) * DataType.F32.bytes();
    }

    public long total() {
        return weights + cache + step;
    }
}
