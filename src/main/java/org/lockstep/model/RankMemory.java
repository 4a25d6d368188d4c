package org.lockstep.model;

import java.io.Serializable;
import java.util.stream.IntStream;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.LayerRange;
import org.lockstep.topology.ParallelSizes;

/**
 * What the fullest rank of a split model holds, in bytes: arithmetic alone, before anything is loaded. Immutable.
 *
 * @param weights norms and biases as the f32 they are widened to, a device's padding left out
 * @param cache keys and values, in the cache's type
 * @param step what the largest step writes, its logits included, the input of its widest matrix, packed, and the table of
 *     positions
 */
public record RankMemory(long weights, long cache, long step) implements Serializable {
    private static final long serialVersionUID = 1;

    /**
     * The memory of one of a replica's ranks.
     *
     * @param stored how the files hold the matrices, where the config leaves it to them
     * @param maxTokens of a step
     * @param maxRows whose logits a step wants
     */
    public static RankMemory of(
            ModelConfig config, WeightType stored, ParallelSizes sizes, CacheSize cache, int maxTokens, int maxRows) {
        ShardPlan plan = ShardPlan.of(config, 0, sizes.tp());
        RankMemory fullest = new RankMemory(0, 0, 0);
        for (int stage = 0; stage < sizes.pp(); stage++) {
            int layers = layers(config, sizes, stage);
            boolean last = stage == sizes.pp() - 1;
            RankMemory here = new RankMemory(
                    layers * layer(config, plan, type(config, stored)) + tables(config, plan, stored, stage == 0, last),
                    2L
                            * layers
                            * cache.tokens()
                            * plan.keyValueHeads()
                            * config.headSize()
                            * cache.type().bytes(),
                    step(config, plan, sizes.pp() > 1 ? 2 : 1, maxTokens, last ? maxRows : 0)
                            + positions(config, cache));
            fullest = here.total() > fullest.total() ? here : fullest;
        }
        return fullest;
    }

    /** The layers of the stage that has most. */
    public static int mostLayers(ModelConfig config, ParallelSizes sizes) {
        return IntStream.range(0, sizes.pp())
                .map(stage -> layers(config, sizes, stage))
                .max()
                .orElseThrow();
    }

    private static int layers(ModelConfig config, ParallelSizes sizes, int stage) {
        return IntStream.range(0, sizes.chunks())
                .map(chunk -> LayerRange.of(config.layers(), sizes.pp(), stage, sizes.chunks(), chunk)
                        .size())
                .sum();
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

    private static long step(ModelConfig config, ShardPlan plan, int streams, int tokens, int rows) {
        long query = (long) plan.heads() * config.headSize();
        long pair = (long) plan.keyValueHeads() * config.headSize();
        long token = (2L + streams) * config.hiddenSize() + 2 * query + 2 * pair + 2L * plan.intermediate();
        long packed = Math.max(Math.max(config.hiddenSize(), query), plan.intermediate());
        long padded = plan.ranks() == 1 ? 0 : (2L * plan.ranks() + 1) * plan.vocabularyRows();
        return (tokens * (token + packed) + rows * (config.vocabularySize() + padded)) * DataType.F32.bytes();
    }

    /** The cosines and sines of every position that a sequence may reach. */
    private static long positions(ModelConfig config, CacheSize cache) {
        return (long) Math.min(config.maxPositions(), cache.longest()) * config.headSize() * DataType.F32.bytes();
    }

    public long total() {
        return weights + cache + step;
    }
}
