package org.lockstep.benchmarks;

import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** A matrix of f32 laid out for the product, converted or quantised: what loading costs beside reading. */
@State(Scope.Benchmark)
public class PrepareBenchmark {
    private static final int ROWS = 768;
    private static final int COLUMNS = 768;

    @Param({"cpu", "vectors", "plain"})
    public String form = "cpu";

    /** But for f32, which the plain form takes as it is. */
    @Param({"BF16", "F16", "Q8"})
    public WeightType type = WeightType.BF16;

    private Kernels kernels;
    private MatrixSource source;

    @Setup(Level.Trial)
    public void open() {
        kernels = Forms.kernels(form);
        source = MatrixSource.of(Forms.random(ROWS * COLUMNS, 1), ROWS, COLUMNS);
    }

    @Benchmark
    public Weight prepare() {
        return kernels.prepare(source, type, 1);
    }

    @TearDown(Level.Trial)
    public void close() {
        kernels.close();
    }
}
