package org.lockstep.model;

import java.io.Serializable;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.tensor.WeightType;

/**
 * The settings of a Llama model, as config.json and generation_config.json hold them. Immutable.
 *
 * @param architecture {@code LlamaForCausalLM}
 * @param hiddenSize elements of a token's state
 * @param layers decoder layers
 * @param heads query heads
 * @param keyValueHeads key and value heads; divides {@code heads}
 * @param headSize elements of a head; even; {@code heads × headSize} may differ from {@code hiddenSize}
 * @param intermediateSize inner elements of the feed-forward layer
 * @param vocabularySize rows of the embedding, not padded
 * @param maxPositions longest sequence, prompt and completion together
 * @param normEpsilon added to the mean square under the root
 * @param ropeTheta base of the rotary frequencies
 * @param ropeScaling how they are stretched
 * @param attentionBias whether the q, k, v and o projections have a bias
 * @param mlpBias whether the gate, up and down projections have a bias
 * @param tiedEmbeddings whether the head is the embedding; a file then stores either or both
 * @param endTokens ids that end a completion; may be empty
 * @param beginToken id before a prompt, as far as the model's settings say so
 * @param weightType how the matrices are held; null as each is stored
 */
public record ModelConfig(
        String architecture,
        int hiddenSize,
        int layers,
        int heads,
        int keyValueHeads,
        int headSize,
        int intermediateSize,
        int vocabularySize,
        int maxPositions,
        float normEpsilon,
        double ropeTheta,
        RopeScaling ropeScaling,
        boolean attentionBias,
        boolean mlpBias,
        boolean tiedEmbeddings,
        List<Integer> endTokens,
        @Nullable Integer beginToken,
        @Nullable WeightType weightType)
        implements Serializable {
    private static final long serialVersionUID = 1;

    public ModelConfig {
        endTokens = List.copyOf(endTokens);
    }

    /**
     * Reads config.json and, where there is one, generation_config.json, whose begin and end tokens go first.
     *
     * @throws LockstepException CONFIG_INVALID or MODEL_UNSUPPORTED naming file, key, value and what is supported
     */
    public static ModelConfig read(ModelFiles files) {
        return ConfigReader.read(files);
    }

    /** This model with its matrices held in another way; null leaves each as it is stored. */
    public ModelConfig withWeightType(@Nullable WeightType type) {
        return new ModelConfig(
                architecture,
                hiddenSize,
                layers,
                heads,
                keyValueHeads,
                headSize,
                intermediateSize,
                vocabularySize,
                maxPositions,
                normEpsilon,
                ropeTheta,
                ropeScaling,
                attentionBias,
                mlpBias,
                tiedEmbeddings,
                endTokens,
                beginToken,
                type);
    }

    /**
     * Checks that the model can be split over {@code tensor} × {@code pipeline} ranks.
     *
     * <p>Heads and the feed-forward layer must divide. Key and value heads are replicated when there are fewer of them
     * than tensor ranks. The vocabulary is padded and need not divide, nor need the layers.
     *
     * @throws LockstepException MODEL_SHAPE with the numbers and the nearest sizes that work
     */
    public void checkSplit(int tensor, int pipeline) {
        checkSplit(tensor, pipeline, 1);
    }

    /** {@link #checkSplit(int, int)} where each stage has several {@code chunks} of layers. */
    public void checkSplit(int tensor, int pipeline, int chunks) {
        String wrong = tensorFault(tensor);
        if (wrong != null) {
            throw LockstepException.report(ErrorCode.MODEL_SHAPE, wrong)
                    .attempt("set tensor parallel to " + nearest(tensor))
                    .exception();
        }
        if (pipeline < 1 || pipeline > layers) {
            throw LockstepException.report(
                            ErrorCode.MODEL_SHAPE,
                            pipeline < 1
                                    ? "pipeline (" + pipeline + ") is not positive"
                                    : "pipeline (" + pipeline + ") is more stages than the model has layers (" + layers
                                            + ")")
                    .attempt("set pipeline parallel to " + (pipeline < 1 ? 1 : layers)
                            + (pipeline < 1 ? "" : " or less"))
                    .exception();
        }
        if (chunks < 1 || (long) pipeline * chunks > layers) {
            throw LockstepException.report(
                            ErrorCode.MODEL_SHAPE,
                            "pipeline (" + pipeline + ") × virtual pipeline (" + chunks + ") is not in 1.." + layers
                                    + ", the model's layers")
                    .attempt("set virtual pipeline parallel to " + layers / pipeline + " or less")
                    .exception();
        }
    }

    private @Nullable String tensorFault(int tensor) {
        if (tensor < 1) {
            return "tensor (" + tensor + ") is not positive";
        }
        if (heads % tensor != 0) {
            return "num_attention_heads (" + heads + ") is not divisible by tensor (" + tensor + ")";
        }
        if (keyValueHeads % tensor != 0 && tensor % keyValueHeads != 0) {
            return "num_key_value_heads (" + keyValueHeads + ") neither divides nor is divisible by tensor (" + tensor
                    + ")";
        }
        if (intermediateSize % tensor != 0) {
            return "intermediate_size (" + intermediateSize + ") is not divisible by tensor (" + tensor + ")";
        }
        return null;
    }

    private String nearest(int tensor) {
        int below = Math.min(Math.max(tensor - 1, 1), heads);
        while (tensorFault(below) != null) {
            below--; // ends: 1 always works
        }
        for (int above = Math.max(tensor + 1, 1); above <= heads && above > 0; above++) {
            if (above != below && tensorFault(above) == null) {
                return below + " or " + above;
            }
        }
        return String.valueOf(below);
    }
}
