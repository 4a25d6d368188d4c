package org.lockstep.model;

import org.lockstep.collective.Communicator;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;

/**
 * One layer of Llama (Touvron et al., 2023): attention and a feed-forward block, each normed before and added to the
 * residual stream after.
 *
 * <p>Confined to the rank's thread.
 */
final class DecoderLayer {
    private final Kernels kernels;
    private final float epsilon;
    private final Tensor attentionNorm; // (hidden)
    private final Attention attention;
    private final Tensor mlpNorm; // (hidden)
    private final Mlp mlp;

    private DecoderLayer(
            Kernels kernels, float epsilon, Tensor attentionNorm, Attention attention, Tensor mlpNorm, Mlp mlp) {
        this.kernels = kernels;
        this.epsilon = epsilon;
        this.attentionNorm = attentionNorm;
        this.attention = attention;
        this.mlpNorm = mlpNorm;
        this.mlp = mlp;
    }

    /** Loads this rank's share of layer {@code index} of the model. */
    static DecoderLayer load(
            Parameters parameters,
            Kernels kernels,
            Communicator tensor,
            RotaryTable rotary,
            int index,
            ModelConfig config,
            ShardPlan plan) {
        String prefix = "model.layers." + index;
        return new DecoderLayer(
                kernels,
                config.normEpsilon(),
                parameters.vector(prefix + ".input_layernorm.weight", config.hiddenSize()),
                Attention.load(parameters, kernels, tensor, rotary, prefix + ".self_attn", config, plan),
                parameters.vector(prefix + ".post_attention_layernorm.weight", config.hiddenSize()),
                Mlp.load(parameters, kernels, tensor, prefix + ".mlp", config, plan));
    }

    /**
     * Moves the residual stream one layer on; what the feed-forward block adds stays in {@code delta}, for who comes next to add.
     *
     * @param pending whether {@code delta} holds what the layer before adds
     */
    void forward(RunState.Activations a, BatchLayout layout, CacheBlocks cache, boolean pending) {
        if (pending) {
            kernels.addRmsNorm(a.hidden(), a.delta(), attentionNorm, epsilon, a.normed());
        } else {
            kernels.rmsNorm(a.hidden(), attentionNorm, epsilon, a.normed());
        }
        attention.forward(a, layout, cache);

        kernels.addRmsNorm(a.hidden(), a.delta(), mlpNorm, epsilon, a.normed());
        mlp.forward(a);
    }
}
