package org.lockstep.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the kernels of every device must compute: each against a plain form in double, on ragged sizes. */
public abstract class KernelsContract {
    private static final double TOLERANCE = 2e-6;

    private final Random random = new Random(7);
    private final Kernels kernels = create();

    protected abstract Kernels create();

    /** How far a product may be from the exact one, in parts of its largest element or of 1. */
    protected double toleranceOfProducts(WeightType type) {
        return TOLERANCE;
    }

    /** Sums of the same products, in another batch or by segments: the same bits, but for a library that promises none. */
    protected void assertSameSums(String what, WeightType type, float[] actual, float[] expected) {
        assertThat(actual).as(what).isEqualTo(expected);
    }

    @AfterEach
    protected void close() {
        kernels.close();
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void linearIsTheProductWithTheTransposedWeight(DataType type) {
        int[][] sizes = {
            {1, 1, 1},
            {1, 7, 5},
            {2, 33, 4},
            {3, 20, 9},
            {4, 96, 13},
            {5, 17, 1},
            {17, 37, 6},
            {83, 30, 7},
            {1, 300, 70},
            {3, 129, 64},
            {9, 257, 130},
            {200, 150, 65}
        };
        for (int[] size : sizes) {
            int tokens = size[0];
            int in = size[1];
            int out = size[2];
            Tensor x = random(DataType.F32, tokens, in);
            Tensor weight = random(type, out, in);
            Weight prepared = prepare(weight, 1);
            Tensor bias = random(DataType.F32, out);
            HostBuffer xs = host(x);
            HostBuffer weights = host(weight);
            HostBuffer biases = host(bias);
            for (Tensor b : new Tensor[] {null, bias}) {
                Tensor y = kernels.zeros(DataType.F32, tokens, out);
                kernels.linear(x, prepared, b, y);
                double[] expected = new double[tokens * out];
                for (int t = 0; t < tokens; t++) {
                    for (int o = 0; o < out; o++) {
                        double sum = b == null ? 0 : biases.get(o);
                        for (int k = 0; k < in; k++) {
                            sum += xs.get(t * in + k) * weights.get(o * in + k);
                        }
                        expected[t * out + o] = sum;
                    }
                }
                assertClose(y, expected, toleranceOfProducts(WeightType.of(type)));
            }
        }
    }

    /** Half a step of a block's scale for each weight: what quantisation may take from it. */
    @Test
    void linearOfQuantisedWeightsIsAsNearAsTheirScales() {
        int[][] sizes = {{1, 32, 1, 1}, {2, 33, 5, 1}, {5, 96, 70, 3}, {1, 300, 20, 2}, {70, 150, 9, 1}};
        for (int[] size : sizes) {
            int tokens = size[0];
            int in = size[1];
            int out = size[2];
            Tensor x = random(DataType.F32, tokens, in);
            Tensor weight = random(DataType.F32, out, in);
            HostBuffer y = host(linear(x, weight, WeightType.Q8, size[3]));
            HostBuffer xs = host(x);
            HostBuffer weights = host(weight);
            for (int t = 0; t < tokens; t++) {
                for (int o = 0; o < out; o++) {
                    double sum = 0;
                    double loss = 1e-5;
                    for (int k = 0; k < in; k++) {
                        sum += xs.get(t * in + k) * weights.get(o * in + k);
                        loss += Math.abs(xs.get(t * in + k)) * step(weights, o * in, k, in / size[3]) * 0.501;
                    }
                    assertThat(Math.abs(y.get(t * out + o) - sum)).isLessThanOrEqualTo(loss);
                }
            }
        }
    }

    /** The scale of the block of column {@code k}: blocks of 32 columns begin anew with each segment. */
    private static double step(HostBuffer weight, int row, int k, int run) {
        int segment = k / run * run;
        int from = segment + (k - segment) / WeightType.BLOCK * WeightType.BLOCK;
        double largest = 0;
        for (int i = from; i < Math.min(from + WeightType.BLOCK, segment + run); i++) {
            largest = Math.max(largest, Math.abs(weight.get(row + i)));
        }
        return largest / 127;
    }

    @ParameterizedTest
    @EnumSource
    void linearGivesATokenTheSameBitsInEveryBatch(WeightType type) {
        for (int segments : new int[] {1, 3, 4}) {
            Tensor x = random(DataType.F32, 83, 36 * 4);
            Tensor weight = random(DataType.F32, 11, 36 * 4);
            Tensor all = linear(x, weight, type, segments);
            for (int[] part : new int[][] {{0, 1}, {40, 1}, {82, 1}, {7, 2}, {3, 5}, {20, 16}, {11, 31}, {1, 70}}) {
                assertSameSums(
                        part[1] + " tokens from " + part[0] + " on, " + segments + " segments",
                        type,
                        floats(linear(x.rows(part[0], part[1]), weight, type, segments)),
                        floats(all.rows(part[0], part[1])));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8, 12})
    void segmentsAreAddedAsABalancedTree(int segments) {
        int run = 3;
        int in = segments * run;
        for (int tokens : new int[] {1, 16}) {
            Tensor x = random(DataType.F32, tokens, in);
            Tensor weight = random(DataType.F32, 5, in);
            float[][] parts = new float[segments][];
            for (int s = 0; s < segments; s++) {
                parts[s] = floats(linear(columns(x, s * run, run), columns(weight, s * run, run), 1));
            }
            assertSameSums(
                    tokens + " tokens", WeightType.F32, floats(linear(x, weight, segments)), tree(parts, segments));
        }
    }

    @ParameterizedTest
    @CsvSource({"8,1", "8,2", "8,4", "8,8", "4,2", "12,3", "1,1"})
    void partsOfAMatrixAddUpToTheBitsOfTheWhole(int segments, int ranks) {
        int in = segments * 5;
        Tensor x = random(DataType.F32, 3, in);
        Tensor weight = random(DataType.BF16, 6, in);
        float[][] parts = new float[ranks][];
        int share = in / ranks;
        for (int r = 0; r < ranks; r++) {
            parts[r] =
                    floats(linear(columns(x, r * share, share), columns(weight, r * share, share), segments / ranks));
        }
        assertSameSums("the parts", WeightType.BF16, tree(parts, ranks), floats(linear(x, weight, segments)));
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void embedLooksUpItsOwnRowsAndLeavesZerosForOthers(DataType type) {
        Tensor table = random(type, 4, 5);
        Tensor out = random(DataType.F32, 5, 5);
        kernels.embed(prepare(table, 1), new int[] {9, 10, 13, 14, 12}, 10, out);
        double[] expected = new double[25];
        HostBuffer rows = host(table);
        for (int i = 0; i < 5; i++) {
            expected[5 + i] = rows.get(i);
            expected[10 + i] = rows.get(15 + i);
            expected[20 + i] = rows.get(10 + i);
        }
        assertThat(doubles(out)).isEqualTo(expected);
    }

    /** Rows of several panels, columns of several blocks and chunks, the last of each cut short. */
    @ParameterizedTest
    @EnumSource
    void embedLooksUpWideRows(WeightType type) {
        for (int[] size : new int[][] {{70, 33}, {131, 300}, {1, 32}}) {
            int rows = size[0];
            int hidden = size[1];
            Tensor table = random(DataType.F32, rows, hidden);
            int[] ids = IntStream.range(0, 190).map(i -> i * 37 % (rows + 5)).toArray(); // and some beyond the last
            Tensor out = random(DataType.F32, ids.length, hidden);
            kernels.embed(prepare(table, type, 1), ids, 0, out);
            HostBuffer wanted = host(table);
            HostBuffer found = host(out);
            for (int t = 0; t < ids.length; t++) {
                for (int i = 0; i < hidden; i++) {
                    double value = ids[t] < rows ? wanted.get(ids[t] * hidden + i) : 0;
                    double loss = ids[t] < rows ? loss(type, wanted, ids[t] * hidden, i, hidden) : 0;
                    assertThat(Math.abs(found.get(t * hidden + i) - value))
                            .as("%d × %d, element %d of row %d", rows, hidden, i, ids[t])
                            .isLessThanOrEqualTo(loss);
                }
            }
        }
    }

    /** What a weight may lose by its type. */
    private static double loss(WeightType type, HostBuffer weight, int row, int k, int columns) {
        return switch (type) {
            case F32 -> 0;
            case BF16 -> Math.abs(weight.get(row + k)) * 0x1p-8;
            case F16 -> Math.abs(weight.get(row + k)) * 0x1p-11 + 0x1p-25;
            case Q8 -> step(weight, row, k, columns) * 0.501;
        };
    }

    @Test
    void rmsNormDividesByTheRootOfTheMeanSquare() {
        for (int hidden : new int[] {1, 7, 64}) {
            Tensor x = random(DataType.F32, 3, hidden);
            Tensor weight = random(DataType.F32, hidden);
            HostBuffer xs = host(x);
            HostBuffer weights = host(weight);
            double[] expected = new double[3 * hidden];
            for (int t = 0; t < 3; t++) {
                double squares = 0;
                for (int i = 0; i < hidden; i++) {
                    squares += xs.get(t * hidden + i) * xs.get(t * hidden + i);
                }
                for (int i = 0; i < hidden; i++) {
                    expected[t * hidden + i] =
                            xs.get(t * hidden + i) / Math.sqrt(squares / hidden + 0.03f) * weights.get(i);
                }
            }
            Tensor out = kernels.zeros(DataType.F32, 3, hidden);
            kernels.rmsNorm(x, weight, 0.03f, out);
            assertClose(out, expected);
            kernels.rmsNorm(x, weight, 0.03f, x);
            assertThat(floats(x)).isEqualTo(floats(out));
        }
    }

    @Test
    void addRmsNormIsBothAfterEachOtherBitByBit() {
        for (int hidden : new int[] {1, 7, 64, 1030}) {
            for (int tokens : new int[] {1, 3, 70}) {
                Tensor x = random(DataType.F32, tokens, hidden);
                Tensor y = random(DataType.F32, tokens, hidden);
                Tensor weight = random(DataType.F32, hidden);
                Tensor sum = kernels.zeros(DataType.F32, tokens, hidden);
                kernels.add(sum, x);
                kernels.add(sum, y);
                Tensor normed = kernels.zeros(DataType.F32, tokens, hidden);
                kernels.rmsNorm(sum, weight, 0.03f, normed);

                Tensor out = kernels.zeros(DataType.F32, tokens, hidden);
                kernels.addRmsNorm(x, y, weight, 0.03f, out);

                assertThat(floats(x)).isEqualTo(floats(sum));
                assertThat(floats(out)).isEqualTo(floats(normed));
            }
        }
    }

    @Test
    void rotateTurnsPairsOfHalvesByThePositionOfTheToken() {
        BatchLayout layout = layout(4, new int[][] {{3, 3}, {1, 9}, {2, 6}});
        int half = 3;
        Tensor cos = random(DataType.F32, 12, half);
        Tensor sin = random(DataType.F32, 12, half);
        Tensor x = random(DataType.F32, layout.tokens(), 2 * 2 * half);
        HostBuffer cosines = host(cos);
        HostBuffer sines = host(sin);
        HostBuffer xs = host(x);
        int[] positions = {0, 1, 2, 8, 4, 5};
        double[] expected = new double[positions.length * 12];
        for (int t = 0; t < positions.length; t++) {
            for (int head = 0; head < 2; head++) {
                for (int i = 0; i < half; i++) {
                    int at = t * 12 + head * 6 + i;
                    double c = cosines.get(positions[t] * half + i);
                    double s = sines.get(positions[t] * half + i);
                    expected[at] = xs.get(at) * c - xs.get(at + half) * s;
                    expected[at + half] = xs.get(at + half) * c + xs.get(at) * s;
                }
            }
        }
        kernels.rotate(x, cos, sin, layout, 2 * half);
        assertClose(x, expected);
    }

    @ParameterizedTest
    @CsvSource({"1,2", "3,10", "5,64", "7,80", "2,130"})
    void rotateTurnsHeadsOfEverySize(int heads, int size) {
        int[][] sequences = {{5, 5}, {1, 11}, {3, 7}, {1, 1}, {40, 70}, {150, 150}};
        BatchLayout layout = layout(4, sequences);
        int half = size / 2;
        Tensor cos = random(DataType.F32, 150, half);
        Tensor sin = random(DataType.F32, 150, half);
        Tensor x = random(DataType.F32, layout.tokens(), (long) heads * size);
        HostBuffer cosines = host(cos);
        HostBuffer sines = host(sin);
        HostBuffer xs = host(x);
        double[] expected = new double[xs.size()];
        int t = 0;
        for (int[] sequence : sequences) {
            for (int position = sequence[1] - sequence[0]; position < sequence[1]; position++, t++) {
                for (int i = 0; i < heads * half; i++) {
                    int at = (t * heads + i / half) * size + i % half;
                    double c = cosines.get(position * half + i % half);
                    double n = sines.get(position * half + i % half);
                    expected[at] = xs.get(at) * c - xs.get(at + half) * n;
                    expected[at + half] = xs.get(at + half) * c + xs.get(at) * n;
                }
            }
        }
        kernels.rotate(x, cos, sin, layout, size);
        assertClose(x, expected);
    }

    @ParameterizedTest
    @CsvSource({
        "4,4,6,4",
        "8,2,4,3",
        "6,1,5,1",
        "3,3,1,16",
        "4,2,64,16",
        "3,1,96,8",
        "6,2,32,32",
        "2,2,40,48",
        "5,1,16,24"
    })
    void attentionIsTheSoftmaxOfTheScoresOverTheContextSoFar(int heads, int kvHeads, int size, int blockSize) {
        BatchLayout layout = layout(blockSize, new int[][] {{5, 5}, {1, 11}, {3, 7}, {1, 1}, {40, 70}});
        Tensor keys = random(DataType.F32, 160 * blockSize, kvHeads * size); // slot by slot
        Tensor values = random(DataType.F32, 160 * blockSize, kvHeads * size);
        CacheBlocks cache = filled(keys, values, blockSize, kvHeads, size);
        Tensor query = random(DataType.F32, layout.tokens(), heads * size);
        Tensor out = kernels.zeros(DataType.F32, layout.tokens(), heads * size);
        kernels.attention(query, cache, layout, out);
        HostBuffer queries = host(query);
        HostBuffer allKeys = host(keys);
        HostBuffer allValues = host(values);
        double[] expected = new double[layout.tokens() * heads * size];
        for (int s = 0; s < layout.sequences(); s++) {
            for (int t = layout.queryStarts()[s]; t < layout.queryStarts()[s + 1]; t++) {
                int position = layout.firstPosition(s) + t - layout.queryStarts()[s];
                for (int h = 0; h < heads; h++) {
                    attendNaively(
                            layout, s, t, position, h, heads, kvHeads, size, queries, allKeys, allValues, expected);
                }
            }
        }
        assertClose(out, expected);
    }

    private static void attendNaively(
            BatchLayout layout,
            int s,
            int t,
            int position,
            int h,
            int heads,
            int kvHeads,
            int size,
            HostBuffer query,
            HostBuffer keys,
            HostBuffer values,
            double[] out) {
        double[] weights = new double[position + 1];
        int[] rows = new int[position + 1];
        double total = 0;
        for (int p = 0; p <= position; p++) {
            int block = layout.blockTables()[s][p / layout.blockSize()];
            rows[p] = ((block * layout.blockSize() + p % layout.blockSize()) * kvHeads + h * kvHeads / heads) * size;
            for (int i = 0; i < size; i++) {
                weights[p] += query.get((t * heads + h) * size + i) * keys.get(rows[p] + i);
            }
            weights[p] = Math.exp(weights[p] / Math.sqrt(size));
            total += weights[p];
        }
        for (int p = 0; p <= position; p++) {
            for (int i = 0; i < size; i++) {
                out[(t * heads + h) * size + i] += weights[p] / total * values.get(rows[p] + i);
            }
        }
    }

    @Test
    void attentionOfATokenHasTheSameBitsInEveryBatchChunkAndBlockSize() {
        attendInChunks(160, 6, new int[][] {{9}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {4, 5}, {2, 6, 1}});
        attendInChunks(160, 16, new int[][] {{150}, {64, 86}, {1, 1, 61, 2, 1, 84}, {130, 5, 15}});
    }

    private void attendInChunks(int blocks, int size, int[][] cuts) {
        int heads = 4;
        int tokens = IntStream.of(cuts[0]).sum();
        Tensor query = random(DataType.F32, tokens, heads * size);
        Tensor steps = random(DataType.F32, tokens, 2 * size);
        float[] whole = null;
        for (int[] chunks : cuts) {
            for (int blockSize : new int[] {1, 4, 16, 32}) {
                CacheBlocks cache = kernels.cache(DataType.F32, blocks, blockSize, 2, size);
                Tensor out = kernels.zeros(DataType.F32, tokens, heads * size);
                int done = 0;
                for (int chunk : chunks) {
                    BatchLayout layout = layout(blockSize, new int[][] {{chunk, done + chunk}});
                    kernels.writeCache(steps.rows(done, chunk), steps.rows(done, chunk), cache, layout);
                    kernels.attention(query.rows(done, chunk), cache, layout, out.rows(done, chunk));
                    done += chunk;
                }
                whole = whole == null ? floats(out) : whole;
                assertThat(floats(out)).as("chunks %s", Arrays.toString(chunks)).isEqualTo(whole);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"16,16", "5,16", "16,4", "64,24"})
    void attentionReadsNothingBeyondTheContext(int size, int blockSize) {
        int[][] blocks = {{2, 0, 3, 1}};
        BatchLayout slots = new BatchLayout(new int[] {0, 4 * blockSize}, new int[] {4 * blockSize}, blocks, blockSize);
        BatchLayout layout = new BatchLayout(new int[] {0, 3}, new int[] {2 * blockSize + 1}, blocks, blockSize);
        Tensor known = random(DataType.F32, 4 * blockSize, size);
        Tensor query = random(DataType.F32, 3, 2 * size);
        float[] expected = null;
        for (float beyond : new float[] {0, Float.NaN, Float.POSITIVE_INFINITY}) {
            float[] cached = floats(known).clone();
            Arrays.fill(cached, (2 * blockSize + 1) * size, cached.length, beyond);
            Tensor all = kernels.upload(Buffer.ofFloats(cached), 4 * blockSize, size);
            CacheBlocks cache = kernels.cache(DataType.F32, 4, blockSize, 1, size);
            kernels.writeCache(all, all, cache, slots);
            Tensor out = kernels.zeros(DataType.F32, 3, 2 * size);
            kernels.attention(query, cache, layout, out);
            expected = expected == null ? floats(out) : expected;
            assertThat(floats(out)).as("%s beyond", beyond).isEqualTo(expected).doesNotContain(Float.NaN);
        }
    }

    @Test
    void scoresFarApartDoNotOverflow() {
        BatchLayout layout = new BatchLayout(new int[] {0, 2}, new int[] {2}, new int[][] {{0}}, 4);
        Tensor huge = kernels.upload(Buffer.ofFloats(1e18f, -1e18f, 1e18f, 1e18f), 2, 2);
        CacheBlocks cache = kernels.cache(DataType.F32, 1, 4, 1, 2);
        kernels.writeCache(huge, huge, cache, layout);
        Tensor out = kernels.zeros(DataType.F32, 2, 2);
        kernels.attention(huge, cache, layout, out);
        assertThat(floats(out)).doesNotContain(Float.NaN, Float.POSITIVE_INFINITY);
    }

    @Test
    void writeCacheTouchesNoOtherSlot() {
        int blockSize = 3;
        Tensor keys = random(DataType.F32, 4 * blockSize, 4);
        Tensor values = random(DataType.F32, 4 * blockSize, 4);
        CacheBlocks cache = filled(keys, values, blockSize, 2, 2);
        // position 3 of a sequence in blocks 2 and 0, position 0 of one in block 3
        BatchLayout layout =
                new BatchLayout(new int[] {0, 1, 2}, new int[] {4, 1}, new int[][] {{2, 0}, {3}}, blockSize);
        Tensor newKeys = random(DataType.F32, 2, 4);
        Tensor newValues = random(DataType.F32, 2, 4);
        kernels.writeCache(newKeys, newValues, cache, layout);
        HostBuffer wantedKeys = host(keys);
        HostBuffer wantedValues = host(values);
        for (int t = 0; t < 2; t++) {
            int slot = t == 0 ? 0 : 9;
            wantedKeys.slice(slot * 4L, 4).copyFrom(host(newKeys).slice(t * 4L, 4));
            wantedValues.slice(slot * 4L, 4).copyFrom(host(newValues).slice(t * 4L, 4));
        }
        CacheBlocks expected = filled(
                kernels.upload(wantedKeys, 4 * blockSize, 4),
                kernels.upload(wantedValues, 4 * blockSize, 4),
                blockSize,
                2,
                2);
        BatchLayout all = new BatchLayout(new int[] {0, 1}, new int[] {12}, new int[][] {{0, 1, 2, 3}}, blockSize);
        Tensor query = random(DataType.F32, 1, 4);
        Tensor out = kernels.zeros(DataType.F32, 1, 4);
        Tensor wanted = kernels.zeros(DataType.F32, 1, 4);
        kernels.attention(query, cache, all, out);
        kernels.attention(query, expected, all, wanted);
        assertThat(floats(out)).isEqualTo(floats(wanted));
    }

    /** A sequence of one token attends to itself alone: what comes back is its value; the softmax' test reads keys so. */
    @ParameterizedTest
    @CsvSource({"1,1,1", "3,5,2", "2,64,16", "4,80,3", "1,130,8"})
    void writeCacheTakesHeadsOfEverySize(int heads, int size, int blockSize) {
        int width = heads * size;
        int tokens = 331;
        int[][] ones = new int[tokens][];
        for (int s = 0; s < tokens; s++) {
            ones[s] = new int[] {s * 7 % tokens};
        }
        BatchLayout layout = new BatchLayout(
                IntStream.rangeClosed(0, tokens).toArray(),
                IntStream.range(0, tokens).map(s -> 1).toArray(),
                ones,
                blockSize);
        CacheBlocks cache = kernels.cache(DataType.F32, tokens, blockSize, heads, size);
        Tensor values = random(DataType.F32, tokens, width);
        kernels.writeCache(random(DataType.F32, tokens, width), values, cache, layout);
        Tensor out = kernels.zeros(DataType.F32, tokens, width);
        kernels.attention(random(DataType.F32, tokens, width), cache, layout, out);
        assertThat(floats(out)).isEqualTo(floats(values));
    }

    @Test
    void argmaxIsTheFirstOfTheLargestAndNoneWhereAnElementIsNotFinite() {
        float inf = Float.POSITIVE_INFINITY;
        for (int n : new int[] {1, 5, 37}) {
            float[][] rows = new float[5][n];
            for (float[] row : rows) {
                for (int i = 0; i < n; i++) {
                    row[i] = -1 - random.nextInt(5);
                }
            }
            rows[1][n - 1] = 3;
            rows[2][n / 2] = Float.NaN;
            rows[3][n / 3] = inf;
            Arrays.fill(rows[4], -inf);
            int first = 0;
            for (int i = 0; i < n; i++) {
                first = rows[0][i] > rows[0][first] ? i : first;
            }
            HostBuffer all = HostBuffer.allocate(DataType.F32, 5L * n);
            for (int r = 0; r < 5; r++) {
                all.slice((long) r * n, n).copyFrom(Buffer.ofFloats(rows[r]));
            }
            int[] out = new int[5];
            kernels.argmax(kernels.upload(all, 5, n), out);
            assertThat(out).containsExactly(first, n - 1, -1, -1, -1);
        }
    }

    /** So many rows, and so wide, that a device cuts them into parts. */
    @ParameterizedTest
    @CsvSource({"3,33000", "300,257", "1,70001"})
    void argmaxOfManyElements(int rows, int n) {
        Tensor x = random(DataType.F32, rows, n);
        float[] all = floats(x);
        int[] expected = new int[rows];
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < n; i++) {
                expected[r] = all[r * n + i] > all[r * n + expected[r]] ? i : expected[r];
            }
        }
        int[] out = new int[rows];
        kernels.argmax(x, out);
        assertThat(out).isEqualTo(expected);
    }

    /** A device draws of the rows that are named, or of none. */
    @Test
    void sampleDrawsOfItsRowsOrLeavesThemToTheHost() {
        float inf = Float.POSITIVE_INFINITY;
        float[] rows = {1, 2, 3, 0, 9, 9, 5, Float.NaN, 5, 0, -inf, 0, 1, inf, 1, -inf, -inf, -inf, 4, 4, 4};
        int[] out = {70, 71, 72, 73, 74, 75, 76};
        int[] drawn = {2, 6, 3, 4, 5, 1};
        double[] uniforms = {0.5, 0.67, 0.5, 0, 0.9, 0};
        boolean done = kernels.sample(
                kernels.upload(HostBuffer.of(DataType.F32, rows), 7, 3),
                new Draws() {
                    @Override
                    public int count() {
                        return drawn.length;
                    }

                    @Override
                    public int row(int draw) {
                        return drawn[draw];
                    }

                    @Override
                    public float inverseTemperature(int draw) {
                        return 0.5f;
                    }

                    @Override
                    public double minP(int draw) {
                        return 0.1;
                    }

                    @Override
                    public int topK(int draw) {
                        return 2;
                    }

                    @Override
                    public double topP(int draw) {
                        return drawn[draw] == 6 ? 0.5 : 1;
                    }

                    @Override
                    public double uniform(int draw) {
                        return uniforms[draw];
                    }
                },
                out);
        assertThat(out)
                .containsExactly(done ? new int[] {70, 1, -1, 2, -1, -1, 1} : new int[] {70, 71, 72, 73, 74, 75, 76});
        assertThat(done).isEqualTo(kernels.device().kind() == Device.Kind.CUDA);
    }

    /** Below, at and above the widths of vectors, and more than a part that a device cuts. */
    @ParameterizedTest
    @CsvSource({"1,1", "1,7", "2,8", "3,17", "1,33", "5,101", "3,11003", "1,32768", "2,40001"})
    void swiGluOfEveryWidth(int tokens, int width) {
        Tensor gate = random(DataType.F32, tokens, width);
        Tensor up = random(DataType.F32, tokens, width);
        HostBuffer gates = host(gate);
        HostBuffer ups = host(up);
        double[] expected = IntStream.range(0, tokens * width)
                .mapToDouble(i -> gates.get(i) / (1 + Math.exp(-gates.get(i))) * ups.get(i))
                .toArray();
        kernels.swiGlu(gate, up);
        assertClose(gate, expected);
    }

    @ParameterizedTest
    @CsvSource({"9,1", "70,7", "300,257", "3,40001"})
    void gatherRowsCopiesRowsOfEveryWidth(int rows, int width) {
        Tensor x = random(DataType.F32, rows, width);
        int[] wanted = IntStream.range(0, rows + 5).map(i -> i * 11 % rows).toArray();
        Tensor out = kernels.zeros(DataType.F32, wanted.length, width);
        kernels.gatherRows(x, wanted, out);
        float[] from = floats(x);
        float[] found = floats(out);
        for (int i = 0; i < wanted.length; i++) {
            assertThat(Arrays.copyOfRange(found, i * width, (i + 1) * width))
                    .as("row %d", i)
                    .isEqualTo(Arrays.copyOfRange(from, wanted[i] * width, (wanted[i] + 1) * width));
        }
    }

    @Test
    void swiGluGatesWithTheSigmoidLinearUnit() {
        Tensor gate = kernels.upload(Buffer.ofFloats(-300, -1.5f, 0, 0.25f, 3, 300), 2, 3);
        Tensor up = random(DataType.F32, 2, 3);
        HostBuffer gates = host(gate);
        HostBuffer ups = host(up);
        double[] expected = IntStream.range(0, 6)
                .mapToDouble(i -> gates.get(i) / (1 + Math.exp(-gates.get(i))) * ups.get(i))
                .toArray();
        kernels.swiGlu(gate, up);
        assertClose(gate, expected);
    }

    @Test
    void addAddsAndGatherRowsCopies() {
        Tensor x = kernels.upload(Buffer.ofFloats(1, 2, 3, 4, 5, 6), 3, 2);
        kernels.add(x.rows(1, 2), kernels.upload(Buffer.ofFloats(10, 20, 30, 40), 2, 2));
        assertThat(floats(x)).containsExactly(1, 2, 13, 24, 35, 46);
        Tensor out = kernels.zeros(DataType.F32, 4, 2);
        kernels.gatherRows(x, new int[] {2, 0, 0, 1}, out);
        assertThat(floats(out)).containsExactly(35, 46, 1, 2, 1, 2, 13, 24);
    }

    @Test
    void hostWorkIsDoneOncePartByPartAndSaysWhatItThrew() {
        AtomicIntegerArray done = new AtomicIntegerArray(100);
        kernels.onHost(100, (part, thread) -> {
            assertThat(thread).isBetween(0, kernels.hostThreads() - 1);
            done.incrementAndGet(part);
        });
        for (int part = 0; part < 100; part++) {
            assertThat(done.get(part)).isEqualTo(1);
        }
        assertThatThrownBy(() -> kernels.onHost(3, (part, thread) -> {
                    throw new IllegalStateException("a part");
                }))
                .hasMessage("a part");
    }

    @Test
    void shapesThatDoNotFitAreRefusedByNameAndNumbers() {
        Tensor x = random(DataType.F32, 2, 6);
        Tensor weight = random(DataType.F32, 3, 5);
        Tensor out = kernels.zeros(DataType.F32, 2, 3);
        assertThatThrownBy(() -> kernels.linear(x, prepare(weight, 1), null, out))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("linear: [2, 6] with [3, 5] does not give [2, 3]");
        Tensor fits = random(DataType.F32, 3, 6);
        assertThatThrownBy(() -> prepare(fits, 4))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("prepare: columns (6) are not divisible by segments (4)");
        assertThatThrownBy(() -> kernels.add(x, out)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> kernels.rmsNorm(x, out, 1e-5f, x)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> kernels.addRmsNorm(x, out, x, 1e-5f, x)).isInstanceOf(IllegalArgumentException.class);
    }

    // ---- plain forms ----

    private Tensor linear(Tensor x, Tensor weight, int segments) {
        return linear(x, weight, WeightType.of(weight.type()), segments);
    }

    private Tensor linear(Tensor x, Tensor weight, WeightType type, int segments) {
        Tensor y = kernels.zeros(DataType.F32, x.shape().dim(0), weight.shape().dim(0));
        kernels.linear(x, prepare(weight, type, segments), null, y);
        return y;
    }

    private Weight prepare(Tensor matrix, int segments) {
        return prepare(matrix, WeightType.of(matrix.type()), segments);
    }

    private Weight prepare(Tensor matrix, WeightType type, int segments) {
        int rows = (int) matrix.shape().dim(0);
        int columns = (int) matrix.shape().dim(1);
        return kernels.prepare(MatrixSource.of(matrix.buffer().toHost(), rows, columns), type, segments);
    }

    /** A cache whose slots hold these rows. */
    private CacheBlocks filled(Tensor keys, Tensor values, int blockSize, int heads, int size) {
        int slots = (int) keys.shape().dim(0);
        CacheBlocks cache = kernels.cache(DataType.F32, slots / blockSize, blockSize, heads, size);
        int[] blocks = IntStream.range(0, slots / blockSize).toArray();
        kernels.writeCache(
                keys,
                values,
                cache,
                new BatchLayout(new int[] {0, slots}, new int[] {slots}, new int[][] {blocks}, blockSize));
        return cache;
    }

    private static float[] tree(float[][] parts, int count) {
        float[] sums = new float[parts[0].length];
        for (int i = 0; i < sums.length; i++) {
            sums[i] = tree(parts, i, 0, count);
        }
        return sums;
    }

    private static float tree(float[][] parts, int at, int lo, int hi) {
        if (hi - lo == 1) {
            return parts[lo][at];
        }
        int mid = lo + Integer.highestOneBit(hi - lo - 1);
        return tree(parts, at, lo, mid) + tree(parts, at, mid, hi);
    }

    /** Sequences of {tokens in this step, context}, with blocks scattered over the cache. */
    private static BatchLayout layout(int blockSize, int[][] sequences) {
        int[] starts = new int[sequences.length + 1];
        int[] contexts = new int[sequences.length];
        int[][] blocks = new int[sequences.length][];
        int block = 0;
        for (int s = 0; s < sequences.length; s++) {
            starts[s + 1] = starts[s] + sequences[s][0];
            contexts[s] = sequences[s][1];
            blocks[s] = new int[(contexts[s] + blockSize - 1) / blockSize];
            for (int b = 0; b < blocks[s].length; b++) {
                blocks[s][b] = block++ * 7 % 160;
            }
        }
        return new BatchLayout(starts, contexts, blocks, blockSize);
    }

    private Tensor random(DataType type, long... dims) {
        int count = (int) Shape.of(dims).elements();
        HostBuffer buffer = HostBuffer.allocate(type, count);
        for (int i = 0; i < count; i++) {
            float value = (float) random.nextGaussian();
            switch (type) {
                case F32 -> buffer.floats()[i] = value;
                case BF16 -> buffer.shorts()[i] = Half.floatToBf16(value);
                case F16 -> buffer.shorts()[i] = Half.floatToF16(value * (i % 5 == 0 ? 1e-6f : 1)); // and subnormals
                default -> throw new IllegalArgumentException(type.toString());
            }
        }
        return kernels.upload(buffer, dims);
    }

    private Tensor columns(Tensor matrix, int from, int count) {
        int rows = (int) matrix.shape().dim(0);
        int width = (int) matrix.shape().dim(1);
        HostBuffer source = matrix.buffer().toHost();
        HostBuffer cut = HostBuffer.allocate(matrix.type(), (long) rows * count);
        for (int r = 0; r < rows; r++) {
            cut.slice((long) r * count, count).copyFrom(source.slice((long) r * width + from, count));
        }
        return kernels.upload(cut, rows, count);
    }

    private static HostBuffer host(Tensor tensor) {
        return tensor.buffer().toHost();
    }

    private static float[] floats(Tensor tensor) {
        return tensor.buffer().toHost().toFloats();
    }

    private static double[] doubles(Tensor tensor) {
        HostBuffer values = host(tensor);
        return IntStream.range(0, values.size()).mapToDouble(values::get).toArray();
    }

    private static void assertClose(Tensor actual, double[] expected) {
        assertClose(actual, expected, TOLERANCE);
    }

    private static void assertClose(Tensor actual, double[] expected, double tolerance) {
        double[] values = doubles(actual);
        assertThat(values).hasSameSizeAs(expected);
        double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
        for (int i = 0; i < values.length; i++) {
            assertThat(Math.abs(values[i] - expected[i]))
                    .as("element %d: %s, not %s", i, values[i], expected[i])
                    .isLessThanOrEqualTo(tolerance * Math.max(largest, 1));
        }
    }
}
