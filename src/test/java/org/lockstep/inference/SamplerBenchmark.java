package org.lockstep.inference;

import java.util.List;
import java.util.Random;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** A token of a sequence with a history, from logits of a large vocabulary. */
@State(Scope.Benchmark)
public class SamplerBenchmark {
    @Param({"greedy", "temperature", "top-k", "top-p", "penalties"})
    public String way = "greedy";

    @Param({"32000", "128256"})
    public int vocabulary = 32000;

    private Sampler sampler;
    private Sequence sequence;
    private float[] logits;

    @Setup(Level.Trial)
    public void prepare() {
        Random random = new Random(7);
        sampler = new Sampler(vocabulary, List.of(2));
        logits = new float[vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            logits[i] = (float) (3 * random.nextGaussian());
        }
        SamplingParams params =
                SamplingParams.greedy().withTemperature(1).withMaxTokens(64).withSeed(1L);
        sequence = new Sequence(
                1,
                random.ints(200, 0, vocabulary).toArray(),
                150,
                switch (way) {
                    case "greedy" -> SamplingParams.greedy();
                    case "temperature" -> params.withTemperature(0.8);
                    case "top-k" -> params.withTopK(50);
                    case "top-p" -> params.withTopP(0.9);
                    case "penalties" -> params.withRepetitionPenalty(1.1);
                    default -> throw new IllegalArgumentException("no way '" + way + "'");
                },
                300);
    }

    @Benchmark
    public int sample() {
        return sampler.sample(logits, 0, sequence);
    }
}
