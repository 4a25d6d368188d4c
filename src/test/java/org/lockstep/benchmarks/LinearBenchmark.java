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

/** The product with a weight matrix, of each type it may be held in, for one row, for as many as a tile or two, for prompts. */
@State(Scope.Benchmark)
public class LinearBenchmark {
    private static final int ROWS = 768;
    private static final int COLUMNS = 2048;
    private static final int SEGMENTS = 8;

    @Param({"cpu", "vectors", "plain"})
    public String form = "cpu";

    @Param({"F32", "BF16", "F16", "Q8"})
    public WeightType type = WeightType.F32;

    @Param({"1", "2", "3", "4", "8", "32"})
    public int tokens = 1;

    private Kernels kernels;
    private Weight weight;
    private Tensor x;
    private Tensor out;

    @Setup(Level.Trial)
    public void prepare() {
        kernels = Forms.kernels(form);
        weight = kernels.prepare(MatrixSource.of(Forms.random(ROWS * COLUMNS, 1), ROWS, COLUMNS), type, SEGMENTS);
        x = kernels.upload(Forms.random(tokens * COLUMNS, 2), tokens, COLUMNS);
        out = kernels.zeros(DataType.F32, tokens, ROWS);
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
