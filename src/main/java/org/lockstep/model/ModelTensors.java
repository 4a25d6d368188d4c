package org.lockstep.model;

import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.WeightType;

/**
 * The tensors that a model's settings promise, compared with those that its files hold: headers only, no weight is read.
 */
public final class ModelTensors {
    private final ModelConfig config;
    private final Checkpoint checkpoint;

    private ModelTensors(ModelConfig config, Checkpoint checkpoint) {
        this.config = config;
        this.checkpoint = checkpoint;
    }

    /**
     * Finds out on the driver what each rank would otherwise find out for its own share, after the launch.
     *
     * @return what is there
     * @throws LockstepException CHECKPOINT_INVALID naming a tensor that is missing or has another shape or type
     */
    public static StoredWeights check(ModelConfig config, Checkpoint checkpoint) {
        new ModelTensors(config, checkpoint).check();
        WeightType type = WeightType.of(
                checkpoint.info("model.layers.0.self_attn.q_proj.weight").type());
        return new StoredWeights(type, checkpoint.bytes());
    }

    private void check() {
        int hidden = config.hiddenSize();
        int queries = config.heads() * config.headSize();
        int pairs = config.keyValueHeads() * config.headSize();
        int inner = config.intermediateSize();
        for (String table : tables()) {
            require(table, config.vocabularySize(), hidden);
        }
        require(PipelineStage.FINAL_NORM, hidden);
        for (int layer = 0; layer < config.layers(); layer++) {
            String prefix = "model.layers." + layer;
            require(prefix + ".input_layernorm.weight", hidden);
            require(prefix + ".post_attention_layernorm.weight", hidden);
            requireLinear(prefix + ".self_attn.q_proj", queries, hidden, config.attentionBias());
            requireLinear(prefix + ".self_attn.k_proj", pairs, hidden, config.attentionBias());
            requireLinear(prefix + ".self_attn.v_proj", pairs, hidden, config.attentionBias());
            requireLinear(prefix + ".self_attn.o_proj", hidden, queries, config.attentionBias());
            requireLinear(prefix + ".mlp.gate_proj", inner, hidden, config.mlpBias());
            requireLinear(prefix + ".mlp.up_proj", inner, hidden, config.mlpBias());
            requireLinear(prefix + ".mlp.down_proj", hidden, inner, config.mlpBias());
        }
    }

    /** A tied model may hold its one table under either name. */
    private String[] tables() {
        if (!config.tiedEmbeddings()) {
            return new String[] {VocabParallelEmbedding.NAME, ParallelLmHead.NAME};
        }
        boolean underHead =
                !checkpoint.contains(VocabParallelEmbedding.NAME) && checkpoint.contains(ParallelLmHead.NAME);
        return new String[] {underHead ? ParallelLmHead.NAME : VocabParallelEmbedding.NAME};
    }

    private void requireLinear(String name, int out, int in, boolean bias) {
        require(name + ".weight", out, in);
        if (bias) {
            require(name + ".bias", out);
        }
    }

    private void require(String name, long... dims) {
        Parameters.check(checkpoint, name, Shape.of(dims));
    }
}
