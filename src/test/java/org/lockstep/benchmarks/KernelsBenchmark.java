package org.lockstep.benchmarks;

import java.util.stream.IntStream;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
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

/** All kernels but the product and what is done with heads, in the sizes of a layer of a small model. */
@State(Scope.Benchmark)
public class KernelsBenchmark {
    private static final int HIDDEN = 768;
    private static final int INNER = 2048;
    private static final int VOCABULARY = 32000;

    @Param({"cpu", "vectors", "plain"})
    public String form = "cpu";

    @Param({"32"})
    public int tokens = 1;

    private Kernels kernels;
    private Weight table;
    private Tensor hidden;
    private Tensor delta;
    private Tensor norm;
    private Tensor normed;
    private HostBuffer gateBefore;
    private Tensor gate;
    private Tensor up;
    private Tensor logits;
    private Tensor gathered;
    private int[] ids;
    private int[] reversed;
    private int[] next;

    @Setup(Level.Trial)
    public void prepare() {
        kernels = Forms.kernels(form);
        table = kernels.prepare(
                MatrixSource.of(Forms.random(VOCABULARY * HIDDEN, 1), VOCABULARY, HIDDEN), WeightType.BF16, 1);
        hidden = random(HIDDEN, 2);
        delta = kernels.zeros(DataType.F32, tokens, HIDDEN); // so that adding it again and again stays in range
        norm = kernels.upload(Forms.random(HIDDEN, 3), HIDDEN);
        normed = kernels.zeros(DataType.F32, tokens, HIDDEN);
        gateBefore = Forms.random(tokens * INNER, 7);
        gate = kernels.zeros(DataType.F32, tokens, INNER);
        up = random(INNER, 8);
        logits = random(VOCABULARY, 9);
        gathered = kernels.zeros(DataType.F32, tokens, HIDDEN);
        ids = IntStream.range(0, tokens).map(t -> t * 997 % VOCABULARY).toArray();
        reversed = IntStream.range(0, tokens).map(t -> tokens - 1 - t).toArray();
        next = new int[tokens];
    }

    private Tensor random(int width, long seed) {
        return kernels.upload(Forms.random(tokens * width, seed), tokens, width);
    }

    @Benchmark
    public Tensor rmsNorm() {
        kernels.rmsNorm(hidden, norm, 1e-5f, normed);
        return normed;
    }

    @Benchmark
    public Tensor addRmsNorm() {
        kernels.addRmsNorm(hidden, delta, norm, 1e-5f, normed);
        return normed;
    }

    /** With a copy of the gate, which else would vanish call by call. */
    @Benchmark
    public Tensor swiGlu() {
        ((HostBuffer) gate.buffer()).copyFrom(gateBefore);
        kernels.swiGlu(gate, up);
        return gate;
    }

    @Benchmark
    public Tensor add() {
        kernels.add(hidden, delta);
        return hidden;
    }

    @Benchmark
    public Tensor embed() {
        kernels.embed(table, ids, 0, normed);
        return normed;
    }

    @Benchmark
    public int[] argmax() {
        kernels.argmax(logits, next);
        return next;
    }

    @Benchmark
    public Tensor gatherRows() {
        kernels.gatherRows(hidden, reversed, gathered);
        return gathered;
    }

    @TearDown(Level.Trial)
    public void close() {
        table.close();
        kernels.close();
    }
}
