package org.lockstep.model;

import java.util.List;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;

/**
 * A linear layer cut by input rows, the other half of a {@link ColumnParallelLinear}: each rank multiplies its share of
 * the input, an all-reduce adds the parts (Shoeybi et al., 2019).
 *
 * <p>A checkpoint stores (out, in), so the cut is a run of columns. The bias is added once, to the sum. Confined to the
 * rank's thread.
 */
final class RowParallelLinear {
    private final Kernels kernels;
    private final Communicator tensor;
    private final Weight weight; // (out, share of in)
    private final @Nullable Tensor bias; // (1, out)

    // The rows of the last output, so that decoding, whose output is always the same, allocates none.
    private @Nullable Buffer biased;
    private List<Tensor> biasedRows = List.of();

    private RowParallelLinear(Kernels kernels, Communicator tensor, Weight weight, @Nullable Tensor bias) {
        this.kernels = kernels;
        this.tensor = tensor;
        this.weight = weight;
        this.bias = bias;
    }

    /**
     * Loads this rank's share of the columns of {@code name.weight} and, where there is one, all of {@code name.bias}.
     *
     * @param in divisible by the size of the group
     * @param segments of this rank's share of the sums
     */
    static RowParallelLinear load(
            Parameters parameters,
            Kernels kernels,
            Communicator tensor,
            String name,
            int in,
            int out,
            int segments,
            boolean bias) {
        int count = in / tensor.size();
        Weight weight = parameters.columns(name + ".weight", out, in, tensor.rankInGroup() * count, count, segments);
        Tensor row = bias ? Tensor.of(parameters.vector(name + ".bias", out).buffer(), 1, out) : null;
        return new RowParallelLinear(kernels, tensor, weight, row);
    }

    /**
     * {@code out = x · weightᵀ + bias}, whole on every rank and with the same bits.
     *
     * @param x (tokens, share of in)
     * @param out (tokens, out)
     */
    void forward(Tensor x, Tensor out) {
        kernels.linear(x, weight, null, out);
        tensor.allReduce(out.buffer(), ReduceOp.SUM);
        if (bias != null) {
            if (out.buffer() != biased) {
                biased = out.buffer();
                biasedRows = LongStream.range(0, out.shape().dim(0))
                        .mapToObj(token -> out.rows(token, 1))
                        .toList();
            }
            for (int token = 0; token < biasedRows.size(); token++) {
                kernels.add(biasedRows.get(token), bias);
            }
        }
    }
}
