package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.cpu.CpuKernels;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * Every kernel of the device beside its twin on the CPU, on ragged shapes that a seed draws; more seeds with
 * {@code -Dlockstep.twins.seeds=1000}.
 */
@HostCuda
@Timeout(600)
class KernelTwinsTest {
    private static final double TOLERANCE = 4e-6; // the contract holds either within half of it of the exact result

    /** By what keys and values are rounded to in a cache: the scores, of up to about ten, are off by their share of it. */
    private static final Map<DataType, Double> ROUNDED =
            Map.of(DataType.F32, TOLERANCE, DataType.BF16, 0x1p-5, DataType.F16, 0x1p-8);

    private static final List<DataType> CACHES = List.of(DataType.F32, DataType.BF16, DataType.F16);

    private final CpuKernels host = CpuKernels.create(1);
    private final CudaKernels device =
            CudaKernels.create(StandIn.devices().get(0), CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS));

    static LongStream seeds() {
        return LongStream.rangeClosed(1, Integer.getInteger("lockstep.twins.seeds", 12));
    }

    @AfterEach
    void close() {
        device.close();
        host.close();
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void products(long seed) {
        Draw draw = new Draw(seed);
        WeightType type = WeightType.values()[draw.below(WeightType.values().length)];
        int segments = draw.between(1, 8);
        int in = segments * draw.between(1, 70);
        int out = draw.between(1, 150);
        int tokens = draw.oneOf(1, 2, 8, draw.between(3, 7), draw.between(9, 70));
        HostBuffer x = draw.normal(tokens * in);
        HostBuffer matrix = draw.normal(out * in);
        HostBuffer bias = draw.normal(out);
        boolean biased = draw.flip();
        assertTwins(
                "(" + tokens + ", " + in + ") · " + type + " (" + out + ", " + in + "), segments " + segments, on -> {
                    Weight weight = on.prepare(MatrixSource.of(matrix, out, in), type, segments);
                    Tensor y = on.zeros(DataType.F32, tokens, out);
                    on.linear(on.upload(x, tokens, in), weight, biased ? on.upload(bias, out) : null, y);
                    return y;
                });
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void rows(long seed) {
        Draw draw = new Draw(seed);
        WeightType type = WeightType.values()[draw.below(WeightType.values().length)];
        int hidden = draw.between(1, 300);
        int rows = draw.between(1, 60);
        int first = draw.between(0, 100);
        int tokens = draw.between(1, 40);
        int[] ids = draw.numbers(tokens, first + rows + 10);
        int[] picks = draw.numbers(draw.between(1, 50), tokens);
        HostBuffer table = draw.normal(rows * hidden);
        HostBuffer scale = draw.normal(hidden);
        HostBuffer more = draw.normal(tokens * hidden);
        String what = tokens + " rows of " + hidden + " from " + type + " [" + first + ", " + (first + rows) + ")";
        assertTwins(what, on -> {
            Tensor x = on.zeros(DataType.F32, tokens, hidden);
            on.embed(on.prepare(MatrixSource.of(table, rows, hidden), type, 1), ids, first, x);
            on.add(x, on.upload(more, tokens, hidden));
            on.rmsNorm(x, on.upload(scale, hidden), 1e-5f, x);
            on.swiGlu(x, on.upload(more, tokens, hidden));
            Tensor picked = on.zeros(DataType.F32, picks.length, hidden);
            on.gatherRows(x, picks, picked);
            return picked;
        });
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void attentionOverWhatWasRotatedAndCached(long seed) {
        Draw draw = new Draw(seed);
        int size = 2 * draw.between(1, 64);
        int heads = draw.between(1, 4);
        int group = draw.oneOf(1, 2, 3, 4, 8, 9);
        int blockSize = draw.oneOf(1, 5, 16, 32);
        DataType type = CACHES.get(draw.below(CACHES.size()));
        int blocks = 6 * (Draw.LONGEST / blockSize + 1);
        BatchLayout past = draw.pasts(blockSize, blocks);
        BatchLayout now = draw.stepAfter(past);
        HostBuffer cos = draw.normal(Draw.LONGEST * (size / 2));
        HostBuffer sin = draw.normal(Draw.LONGEST * (size / 2));
        HostBuffer old = draw.normal(past.tokens() * heads * size);
        HostBuffer fresh = draw.normal(now.tokens() * heads * size);
        HostBuffer query = draw.normal(now.tokens() * heads * group * size);
        String what = now.sequences() + " sequences, " + now.tokens() + " tokens, " + heads + " × " + group
                + " heads of " + size + ", " + type + " blocks of " + blockSize;
        Function<Kernels, Tensor> calls = on -> {
            Tensor c = on.upload(cos, Draw.LONGEST, size / 2);
            Tensor s = on.upload(sin, Draw.LONGEST, size / 2);
            CacheBlocks cache = on.cache(on == device ? type : DataType.F32, blocks, blockSize, heads, size);
            Tensor before = on.upload(old, past.tokens(), heads * size);
            on.writeCache(before, before, cache, past);
            Tensor keys = on.upload(
                    HostBuffer.of(DataType.F32, fresh.toFloats()), now.tokens(), heads * size); // turned in place
            on.rotate(keys, c, s, now, size);
            on.writeCache(keys, on.upload(fresh, now.tokens(), heads * size), cache, now);
            Tensor out = on.zeros(DataType.F32, now.tokens(), heads * group * size);
            on.attention(on.upload(query, now.tokens(), heads * group * size), cache, now, out);
            return out;
        };
        assertTwins(what, calls, ROUNDED.get(type));
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void theLargestOfEachRow(long seed) {
        Draw draw = new Draw(seed);
        int rows = draw.between(1, 20);
        int columns = draw.between(1, 3000);
        HostBuffer x = draw.normal(rows * columns);
        for (int i = 0; i < rows; i++) { // now and then two are the largest, or one is no number
            x.floats()[draw.below(rows * columns)] = draw.oneOf(9, 9, 9, 0) / (float) draw.oneOf(1, 1, 1, 0);
        }
        int[] expected = new int[rows];
        int[] actual = new int[rows];
        host.argmax(host.upload(x, rows, columns), expected);
        device.argmax(device.upload(x, rows, columns), actual);
        assertThat(actual).as("%d rows of %d", rows, columns).isEqualTo(expected);
    }

    private void assertTwins(String what, Function<Kernels, Tensor> calls) {
        assertTwins(what, calls, TOLERANCE);
    }

    private void assertTwins(String what, Function<Kernels, Tensor> calls, double tolerance) {
        float[] expected = calls.apply(host).buffer().toHost().toFloats();
        float[] actual = calls.apply(device).buffer().toHost().toFloats();
        assertThat(actual).as(what).hasSameSizeAs(expected);
        double largest = 1;
        for (float each : expected) {
            largest = Math.max(largest, Math.abs(each));
        }
        for (int i = 0; i < expected.length; i++) {
            assertThat((double) Math.abs(actual[i] - expected[i]))
                    .as("%s: element %d is %s, not %s", what, i, actual[i], expected[i])
                    .isLessThanOrEqualTo(tolerance * largest);
        }
    }

    /** What a seed draws. */
    private static final class Draw {
        static final int LONGEST = 300; // positions of a sequence

        private final Random random;

        Draw(long seed) {
            this.random = new Random(seed);
        }

        int below(int bound) {
            return random.nextInt(bound);
        }

        int between(int least, int most) {
            return least + random.nextInt(most - least + 1);
        }

        int oneOf(int... values) {
            return values[below(values.length)];
        }

        boolean flip() {
            return random.nextBoolean();
        }

        int[] numbers(int count, int bound) {
            return random.ints(count, 0, bound).toArray();
        }

        HostBuffer normal(int count) {
            HostBuffer values = HostBuffer.allocate(DataType.F32, count);
            for (int i = 0; i < count; i++) {
                values.floats()[i] = (float) random.nextGaussian();
            }
            return values;
        }

        /** Sequences that bring all their context, in blocks scattered over a cache, each with room for {@link #LONGEST}. */
        BatchLayout pasts(int blockSize, int blocks) {
            List<Integer> free =
                    new ArrayList<>(IntStream.range(0, blocks).boxed().toList());
            Collections.shuffle(free, random);
            int sequences = between(1, 6);
            int[] starts = new int[sequences + 1];
            int[] contexts = new int[sequences];
            int[][] tables = new int[sequences][LONGEST / blockSize + 1];
            for (int s = 0; s < sequences; s++) {
                contexts[s] = between(1, LONGEST - 100);
                starts[s + 1] = starts[s] + contexts[s];
                for (int b = 0; b < tables[s].length; b++) {
                    tables[s][b] = free.remove(free.size() - 1);
                }
            }
            return new BatchLayout(starts, contexts, tables, blockSize);
        }

        /** The next step of these sequences, each with one token or many. */
        BatchLayout stepAfter(BatchLayout past) {
            int[] starts = new int[past.sequences() + 1];
            int[] contexts = past.contextLengths().clone();
            for (int s = 0; s < contexts.length; s++) {
                int tokens = flip() ? 1 : between(2, 100);
                contexts[s] += tokens;
                starts[s + 1] = starts[s] + tokens;
            }
            return new BatchLayout(starts, contexts, past.blockTables(), past.blockSize());
        }
    }
}
