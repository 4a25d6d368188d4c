package org.lockstep.benchmarks;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
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

/** All kernels but the product, in the sizes of a layer of a small model: 12 heads of 64 and 4 of keys and values. */
@State(Scope.Benchmark)
public class KernelsBenchmark {
    private static final int HEADS = 12;
    private static final int PAIRS = 4;
    private static final int HEAD = 64;
    private static final int HIDDEN = HEADS * HEAD;
    private static final int INNER = 2048;
    private static final int VOCABULARY = 32000;
    private static final int BLOCK = 16;
    private static final int CONTEXT = 512;

    @Param({"cpu", "plain"})
    public String form = "cpu";

    /** One a sequence where it is decoding; all of one sequence where it is a prompt. */
    @Param({"1", "32"})
    public int tokens = 1;

    private Kernels kernels;
    private Weight table;
    private CacheBlocks cache;
    private BatchLayout decoding;
    private BatchLayout prompt;
    private Tensor hidden;
    private Tensor delta;
    private Tensor norm;
    private Tensor normed;
    private Tensor query;
    private Tensor attended;
    private Tensor key;
    private Tensor value;
    private Tensor cos;
    private Tensor sin;
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
        query = random(HIDDEN, 4);
        attended = kernels.zeros(DataType.F32, tokens, HIDDEN);
        key = random(PAIRS * HEAD, 5);
        value = random(PAIRS * HEAD, 6);
        cos = kernels.upload(angles(true), CONTEXT, HEAD / 2);
        sin = kernels.upload(angles(false), CONTEXT, HEAD / 2);
        gateBefore = Forms.random(tokens * INNER, 7);
        gate = kernels.zeros(DataType.F32, tokens, INNER);
        up = random(INNER, 8);
        logits = random(VOCABULARY, 9);
        gathered = kernels.zeros(DataType.F32, tokens, HIDDEN);
        ids = IntStream.range(0, tokens).map(t -> t * 997 % VOCABULARY).toArray();
        reversed = IntStream.range(0, tokens).map(t -> tokens - 1 - t).toArray();
        next = new int[tokens];
        int blocks = CONTEXT / BLOCK;
        cache = kernels.cache(DataType.F32, tokens * blocks, BLOCK, PAIRS, HEAD);
        int[] contexts = new int[tokens];
        Arrays.fill(contexts, CONTEXT);
        decoding = new BatchLayout(
                IntStream.rangeClosed(0, tokens).toArray(),
                contexts,
                IntStream.range(0, tokens).mapToObj(s -> table(s, blocks)).toArray(int[][]::new),
                BLOCK);
        prompt = new BatchLayout(new int[] {0, tokens}, new int[] {CONTEXT}, new int[][] {table(0, blocks)}, BLOCK);
        fillCache();
    }

    private int[] table(int sequence, int blocks) {
        return IntStream.range(0, blocks)
                .map(block -> block * tokens + sequence)
                .toArray();
    }

    private void fillCache() {
        for (int context = 1; context <= CONTEXT; context++) {
            int[] contexts = new int[tokens];
            Arrays.fill(contexts, context);
            kernels.writeCache(
                    random(PAIRS * HEAD, 10 + context),
                    random(PAIRS * HEAD, 10_000 + context),
                    cache,
                    new BatchLayout(decoding.queryStarts(), contexts, decoding.blockTables(), BLOCK));
        }
    }

    private Tensor random(int width, long seed) {
        return kernels.upload(Forms.random(tokens * width, seed), tokens, width);
    }

    private static HostBuffer angles(boolean cosines) {
        HostBuffer all = HostBuffer.allocate(DataType.F32, (long) CONTEXT * HEAD / 2);
        for (int i = 0; i < all.size(); i++) {
            double angle = i / (HEAD / 2) * Math.pow(10000, -2.0 * (i % (HEAD / 2)) / HEAD);
            all.floats()[i] = (float) (cosines ? Math.cos(angle) : Math.sin(angle));
        }
        return all;
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

    @Benchmark
    public Tensor rotate() {
        kernels.rotate(query, cos, sin, decoding, HEAD);
        return query;
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

    @Benchmark
    public CacheBlocks writeCache() {
        kernels.writeCache(key, value, cache, decoding);
        return cache;
    }

    @Benchmark
    public Tensor decodeAttention() {
        kernels.attention(query, cache, decoding, attended);
        return attended;
    }

    @Benchmark
    public Tensor promptAttention() {
        kernels.attention(query, cache, prompt, attended);
        return attended;
    }

    @TearDown(Level.Trial)
    public void close() {
        table.close();
        cache.close();
        kernels.close();
    }
}
