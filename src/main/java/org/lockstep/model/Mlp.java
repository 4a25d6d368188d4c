package org.lockstep.model;

import org.lockstep.collective.Communicator;
import org.lockstep.tensor.Kernels;

/**
 * The feed-forward block with a gate (Shazeer, 2020, SwiGLU): {@code w2(silu(w1 x) · w3 x)}, cut by its inner columns.
 *
 * <p>Confined to the rank's thread.
 */
final class Mlp {
    private final Kernels kernels;
    private final ColumnParallelLinear w1; // gate: (intermediate, hidden)
    private final ColumnParallelLinear w3; // up: (intermediate, hidden)
    private final RowParallelLinear w2; // down: (hidden, intermediate)

    private Mlp(Kernels kernels, ColumnParallelLinear w1, ColumnParallelLinear w3, RowParallelLinear w2) {
        this.kernels = kernels;
        this.w1 = w1;
        this.w3 = w3;
        this.w2 = w2;
    }

    /** Loads this rank's columns of {@code prefix.gate_proj} and {@code up_proj}, and its rows of {@code down_proj}. */
    static Mlp load(
            Parameters parameters,
            Kernels kernels,
            Communicator tensor,
            String prefix,
            ModelConfig config,
            ShardPlan plan) {
        int hidden = config.hiddenSize();
        int inner = config.intermediateSize();
        int from = plan.rank() * plan.intermediate();
        int count = plan.intermediate();
        boolean bias = config.mlpBias();
        return new Mlp(
                kernels,
                ColumnParallelLinear.load(parameters, kernels, prefix + ".gate_proj", hidden, inner, from, count, bias),
                ColumnParallelLinear.load(parameters, kernels, prefix + ".up_proj", hidden, inner, from, count, bias),
                RowParallelLinear.load(
                        parameters, kernels, tensor, prefix + ".down_proj", inner, hidden, plan.mlpSegments(), bias));
    }

    /** From {@code normed} to {@code delta}. */
    void forward(RunState.Activations a) {
        w1.forward(a.normed(), a.gate());
        w3.forward(a.normed(), a.up());
        kernels.swiGlu(a.gate(), a.up());
        w2.forward(a.gate(), a.delta());
    }
}
