package org.lockstep.model;

import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;

/**
 * A linear layer cut by output columns: each rank computes its own, and nothing is communicated (Shoeybi et al., 2019).
 *
 * <p>A checkpoint stores (out, in), so the cut is a run of rows. Confined to the rank's thread.
 */
final class ColumnParallelLinear {
    private final Kernels kernels;
    private final Weight weight; // (share of out, in)
    private final @Nullable Tensor bias; // (share of out)

    private ColumnParallelLinear(Kernels kernels, Weight weight, @Nullable Tensor bias) {
        this.kernels = kernels;
        this.weight = weight;
        this.bias = bias;
    }

    /**
     * Loads the columns {@code from} to {@code from + count - 1} of {@code name.weight} and, where there is one,
     * {@code name.bias}.
     */
    static ColumnParallelLinear load(
            Parameters parameters, Kernels kernels, String name, int in, int out, int from, int count, boolean bias) {
        return new ColumnParallelLinear(
                kernels,
                parameters.rows(name + ".weight", out, in, from, count),
                bias ? parameters.vector(name + ".bias", out, from, count) : null);
    }

    /**
     * {@code out = x · weightᵀ + bias}, this rank's columns of it.
     *
     * @param x (tokens, in), equal on all ranks
     * @param out (tokens, share of out)
     */
    void forward(Tensor x, Tensor out) {
        kernels.linear(x, weight, bias, out);
    }
}
