package org.lockstep.model;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.checkpoint.TensorSource;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.WeightType;

/** The tensors that a model's settings promise. */
public final class ModelTensors {
    /** What older files hold of the tables that are computed here. */
    private static final Pattern COMPUTED = Pattern.compile(".+\\.rotary_emb\\.(inv_freq|cos_cached|sin_cached)");

    private static final Pattern LANGUAGE_MODEL = Pattern.compile("model\\.|lm_head\\.");

    private final ModelConfig config;
    private final Map<String, Shape> shapes = new LinkedHashMap<>();

    private ModelTensors(ModelConfig config) {
        this.config = config;
    }

    /** Each tensor's shape by its name, in the order of the layers; a tied model has its one table as the embedding. */
    public static Map<String, Shape> shapes(ModelConfig config) {
        ModelTensors tensors = new ModelTensors(config);
        tensors.promise();
        return Collections.unmodifiableMap(tensors.shapes);
    }

    /**
     * Compares them with those that a model's files hold, headers only, no weight is read: the driver finds out what each
     * rank would otherwise find out for its own share, after the launch.
     *
     * @return what is there, the type by the first layer's
     * @throws LockstepException CHECKPOINT_INVALID naming a tensor that is missing, has another shape or type, or has no
     *     place in the model
     */
    public static StoredWeights check(ModelConfig config, TensorSource checkpoint) {
        boolean underHead = config.tiedEmbeddings()
                && !checkpoint.contains(VocabParallelEmbedding.NAME)
                && checkpoint.contains(ParallelLmHead.NAME);
        Map<String, Shape> promised = shapes(config);
        promised.forEach((name, shape) -> {
            boolean moved = underHead && name.equals(VocabParallelEmbedding.NAME);
            Parameters.check(checkpoint, moved ? ParallelLmHead.NAME : name, shape);
        });
        refuseOthers(promised.keySet(), checkpoint);
        Shape queries = Shape.of((long) config.heads() * config.headSize(), config.hiddenSize());
        WeightType type = WeightType.of(Parameters.check(checkpoint, "model.layers.0.self_attn.q_proj.weight", queries)
                .type());
        return new StoredWeights(type, checkpoint.bytes());
    }

    /**
     * Weights of the language model that would be left out: of biases or norms of another kind of model, of more layers than the
     * settings say. What lies beside it, as the head that TRL's training adds for its rewards, has no part in what it says.
     */
    private static void refuseOthers(Set<String> promised, TensorSource checkpoint) {
        List<String> others = checkpoint.names().stream()
                .filter(name -> LANGUAGE_MODEL.matcher(name).lookingAt()
                        && !promised.contains(name)
                        && !name.equals(ParallelLmHead.NAME) // beside the embedding that it is tied to
                        && !COMPUTED.matcher(name).matches())
                .toList();
        if (!others.isEmpty()) {
            throw LockstepException.report(
                            ErrorCode.CHECKPOINT_INVALID,
                            "tensor " + ModelFiles.quote(others.get(0))
                                    + (others.size() == 1 ? "" : " and " + (others.size() - 1) + " more")
                                    + " of the checkpoint would be left out: the model of config.json has no place for it")
                    .attempt("take config.json and the weights from the same model, of a kind that Lockstep has")
                    .exception();
        }
    }

    private void promise() {
        int hidden = config.hiddenSize();
        int queries = config.heads() * config.headSize();
        int pairs = config.keyValueHeads() * config.headSize();
        int inner = config.intermediateSize();
        promise(VocabParallelEmbedding.NAME, config.vocabularySize(), hidden);
        for (int layer = 0; layer < config.layers(); layer++) {
            String prefix = "model.layers." + layer;
            promise(prefix + ".input_layernorm.weight", hidden);
            promise(prefix + ".post_attention_layernorm.weight", hidden);
            promiseLinear(prefix + ".self_attn.q_proj", queries, hidden, config.attentionBias());
            promiseLinear(prefix + ".self_attn.k_proj", pairs, hidden, config.attentionBias());
            promiseLinear(prefix + ".self_attn.v_proj", pairs, hidden, config.attentionBias());
            promiseLinear(prefix + ".self_attn.o_proj", hidden, queries, config.attentionBias());
            promiseLinear(prefix + ".mlp.gate_proj", inner, hidden, config.mlpBias());
            promiseLinear(prefix + ".mlp.up_proj", inner, hidden, config.mlpBias());
            promiseLinear(prefix + ".mlp.down_proj", hidden, inner, config.mlpBias());
        }
        promise(PipelineStage.FINAL_NORM, hidden);
        if (!config.tiedEmbeddings()) {
            promise(ParallelLmHead.NAME, config.vocabularySize(), hidden);
        }
    }

    private void promiseLinear(String name, int out, int in, boolean bias) {
        promise(name + ".weight", out, in);
        if (bias) {
            promise(name + ".bias", out);
        }
    }

    private void promise(String name, long... dims) {
        shapes.put(name, Shape.of(dims));
    }
}
