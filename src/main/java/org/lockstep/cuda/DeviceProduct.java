package org.lockstep.cuda;

import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.WeightType;

/**
 * Products with weights: of few tokens by a kernel of our own, which reads each weight once and is as fast as memory is; of
 * more by cuBLAS, on activations that are rounded to the weight's type. Confined to one thread at a time.
 */
final class DeviceProduct {
    private static final int FEW = 8; // tokens that one reading of the weights serves
    private static final int THREADS = 128;
    private static final int ELEMENTS = 1024; // of a block of an element-wise kernel

    private final KernelModule kernels;
    private final @Nullable Cublas cublas;
    private final Scratch rounded; // bytes

    /**
     * Products in the order of a rank's stream.
     *
     * @param cublas null where our kernels do it all
     * @param moved is told when scratch memory is somewhere else than before
     */
    DeviceProduct(DeviceArena arena, KernelModule kernels, @Nullable Cublas cublas, Runnable moved) {
        this.kernels = kernels;
        this.cublas = cublas;
        this.rounded = new Scratch(arena, DataType.U8, moved);
    }

    /** Takes room ahead for so many tokens as {@code weight} multiplies. */
    void reserve(int tokens, WeightType type, int columns) {
        if (cublas != null && (type == WeightType.BF16 || type == WeightType.F16)) {
            rounded.of((long) tokens * columns * DeviceWeight.floating(type).bytes());
        }
    }

    /**
     * {@code out = x · weightᵀ + bias}.
     *
     * @param bias 0 for none
     */
    void multiply(long x, int tokens, DeviceWeight weight, long bias, long out) {
        if (cublas == null || tokens <= FEW || weight.type() == WeightType.Q8) {
            own(x, tokens, weight, bias, out);
            return;
        }
        int rows = weight.rows();
        int columns = weight.columns();
        long operand = weight.type() == WeightType.F32 ? x : round(x, (long) tokens * columns, weight.type());
        cublas.multiply(weight.type(), weight.address(), operand, out, tokens, rows, columns);
        if (bias != 0) {
            long n = (long) tokens * rows;
            kernels.with().pointer(out).pointer(bias).number(rows).wide(n).launch("add_bias", blocks(n), 256);
        }
    }

    private void own(long x, int tokens, DeviceWeight weight, long bias, long out) {
        int together = tokens > 4 ? 8 : tokens > 2 ? 4 : tokens;
        int rowsOfBlock = together == 1 ? 4 : together == 8 ? 16 : 8;
        KernelModule launch = kernels.with().pointer(weight.address());
        if (weight.type() == WeightType.Q8) {
            launch.pointer(weight.scales());
        }
        launch.pointer(x)
                .pointer(bias)
                .number(tokens)
                .number(weight.rows())
                .number(weight.columns())
                .number(weight.segments());
        if (weight.type() != WeightType.Q8) {
            launch.number(0); // x as it is: nothing is gained by rounding it
        }
        launch.pointer(out)
                .launch(
                        "linear_" + weight.type() + "_" + together,
                        (weight.rows() + rowsOfBlock - 1) / rowsOfBlock,
                        (tokens + together - 1) / Math.max(1, together),
                        1,
                        THREADS);
    }

    private long round(long x, long n, WeightType type) {
        long to = rounded.of(n * DeviceWeight.floating(type).bytes()).address();
        kernels.with().pointer(x).pointer(to).wide(n).launch("cast_f32_" + type, blocks(n), 256);
        return to;
    }

    /** Of an element-wise kernel over {@code n} elements. */
    static int blocks(long n) {
        return Math.toIntExact((n + ELEMENTS - 1) / ELEMENTS);
    }
}
