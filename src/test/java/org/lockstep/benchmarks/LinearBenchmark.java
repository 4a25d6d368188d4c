package org.lockstep.benchmarks;

import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** The product with a weight matrix, of each type it may be held in, for decoding and for prompts. */
@State(Scope.Benchmark)
public class LinearBenchmark {
    @Param({"cpu", "plain"})
    public String form = "cpu";

    @Param({"F32", "BF16", "F16", "Q8"})
    public WeightType type = WeightType.F32;

    @Param({"1", "8", "32", "512"})
    public int tokens = 1;

    /** Rows × columns. */
    @Param({"768x2048", "2048x768"})
    public String shape = "768x2048";

    private Kernels kernels;
    private Weight weight;
    private Tensor x;
    private Tensor out;

    @Setup(Level.Trial)
    public void prepare() {
        kernels = Forms.kernels(form);
        String[] dims = shape.split("x");
        int rows = Integer.parseInt(dims[0]);
        int columns = Integer.parseInt(dims[1]);
        weight = kernels.prepare(
                MatrixSource.of(Forms.random(rows * columns, 1), rows, columns),
                type,
                Math.min(8, Integer.lowestOneBit(columns)));
        x = kernels.upload(Forms.random(tokens * columns, 2), tokens, columns);
        out = kernels.zeros(DataType.F32, tokens, rows);
    }

    @Benchmark
    public Tensor linear() {
        kernels.linear(x, weight, null, out);
        return out;
    }

    @TearDown(Level.Trial)
    public void close() {
        weight.close();
        kernels.close();
    }
}
