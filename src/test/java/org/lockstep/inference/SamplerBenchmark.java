package org.lockstep.inference;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.lockstep.cpu.CpuKernels;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** A token for each row of a step, sequences with a history, on all cores. */
@State(Scope.Benchmark)
public class SamplerBenchmark {
    @Param({"greedy", "temperature", "top-k", "top-p", "penalties"})
    public String way = "greedy";

    @Param({"8 of 32000", "32 of 128256"})
    public String rows = "8 of 32000";

    private CpuKernels kernels;
    private Sampler sampler;
    private List<Sequence> sequences;
    private Tensor logits;
    private int[] tokens;

    @Setup(Level.Trial)
    public void prepare() {
        Random random = new Random(7);
        int count = Integer.parseInt(rows.split(" ")[0]);
        int vocabulary = Integer.parseInt(rows.split(" ")[2]);
        kernels = CpuKernels.create(Runtime.getRuntime().availableProcessors());
        sampler = new Sampler(vocabulary, List.of(2), kernels);
        float[] values = new float[count * vocabulary];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (3 * random.nextGaussian());
        }
        tokens = new int[count];
        logits = Tensor.of(Buffer.ofFloats(values), count, vocabulary);
        SamplingParams sampled = SamplingParams.DEFAULT.withMaxTokens(64).withSeed(1L);
        SamplingParams params = switch (way) {
            case "greedy" -> SamplingParams.greedy();
            case "temperature" -> sampled;
            case "top-k" -> sampled.withTopK(50);
            case "top-p" -> sampled.withTopP(0.9);
            case "penalties" -> sampled.withRepetitionPenalty(1.1);
            default -> throw new IllegalArgumentException("no way '" + way + "'");
        };
        sequences = IntStream.range(0, count)
                .mapToObj(id -> new Sequence(id, random.ints(200, 0, vocabulary).toArray(), 150, params, 300))
                .toList();
    }

    @Benchmark
    public int[] sample() {
        sampler.sample(logits, sequences, tokens);
        return tokens;
    }

    @TearDown(Level.Trial)
    public void close() {
        kernels.close();
    }
}
