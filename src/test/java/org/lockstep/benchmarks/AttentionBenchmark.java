package org.lockstep.benchmarks;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** What is done with heads, 12 of queries and 4 of keys and values, over a context of 512: heads of whole strips and of others. */
@State(Scope.Benchmark)
public class AttentionBenchmark {
    private static final int HEADS = 12;
    private static final int PAIRS = 4;
    private static final int BLOCK = 16;
    private static final int CONTEXT = 512;

    @Param({"cpu", "vectors", "plain"})
    public String form = "cpu";

    /** Elements of a head. */
    @Param({"64", "72", "128"})
    public int head = 64;

    /** One a sequence where it is decoding; all of one sequence where it is a prompt. */
    @Param({"8"})
    public int tokens = 1;

    private Kernels kernels;
    private CacheBlocks cache;
    private BatchLayout decoding;
    private BatchLayout prompt;
    private Tensor query;
    private Tensor attended;
    private Tensor key;
    private Tensor value;
    private Tensor cos;
    private Tensor sin;

    @Setup(Level.Trial)
    public void prepare() {
        kernels = Forms.kernels(form);
        query = random(HEADS * head, 4);
        attended = kernels.zeros(DataType.F32, tokens, (long) HEADS * head);
        key = random(PAIRS * head, 5);
        value = random(PAIRS * head, 6);
        cos = kernels.upload(angles(true), CONTEXT, head / 2);
        sin = kernels.upload(angles(false), CONTEXT, head / 2);
        int blocks = CONTEXT / BLOCK;
        cache = kernels.cache(DataType.F32, tokens * blocks, BLOCK, PAIRS, head);
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
                    random(PAIRS * head, 10 + context),
                    random(PAIRS * head, 10_000 + context),
                    cache,
                    new BatchLayout(decoding.queryStarts(), contexts, decoding.blockTables(), BLOCK));
        }
    }

    private Tensor random(int width, long seed) {
        return kernels.upload(Forms.random(tokens * width, seed), tokens, width);
    }

    private HostBuffer angles(boolean cosines) {
        HostBuffer all = HostBuffer.allocate(DataType.F32, (long) CONTEXT * head / 2);
        for (int i = 0; i < all.size(); i++) {
            double angle = i / (head / 2) * Math.pow(10000, -2.0 * (i % (head / 2)) / head);
            all.floats()[i] = (float) (cosines ? Math.cos(angle) : Math.sin(angle));
        }
        return all;
    }

    @Benchmark
    public Tensor rotate() {
        kernels.rotate(query, cos, sin, decoding, head);
        return query;
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
        cache.close();
        kernels.close();
    }
}
