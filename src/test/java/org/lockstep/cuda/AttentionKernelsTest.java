package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.tensor.Half;

/** What the contract of kernels does not reach in attention: narrow caches, padding, graphs, long contexts. */
@HostCuda
@Timeout(120)
class AttentionKernelsTest {
    private final Random random = new Random(11);
    private Launches device;

    @BeforeEach
    void open() throws IOException {
        device = new Launches();
    }

    @AfterEach
    void close() {
        device.close();
    }

    /** Positions of a sequence, block by block, with keys and values of one layer. */
    private record Cache(int blockSize, int kvHeads, int size, CUdeviceptr keys, CUdeviceptr values) {}

    private Cache cache(String type, int blocks, int blockSize, int kvHeads, int size) {
        long bytes = (type.equals("f32") ? 4L : 2L) * blocks * blockSize * kvHeads * size;
        return new Cache(blockSize, kvHeads, size, device.room(bytes), device.room(bytes));
    }

    private float[] gaussian(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static float[] rounded(float[] values, String type) {
        float[] narrow = values.clone();
        for (int i = 0; i < narrow.length; i++) {
            narrow[i] = switch (type) {
                case "bf16" -> Half.bf16ToFloat(Half.floatToBf16(values[i]));
                case "f16" -> Half.f16ToFloat(Half.floatToF16(values[i]));
                default -> values[i];
            };
        }
        return narrow;
    }

    private void write(String type, Cache cache, float[] keys, float[] values, int... slots) {
        device.launch(
                "write_cache_" + type,
                new int[] {slots.length},
                256,
                device.of(keys),
                device.of(values),
                device.of(slots),
                cache.kvHeads,
                cache.size,
                cache.blockSize,
                cache.keys,
                cache.values);
    }

    private void prefill(
            String kernel, Cache cache, int heads, int most, int sequences, CUdeviceptr[] step, int maxBlocks) {
        int group = heads / cache.kvHeads;
        device.launch(
                kernel,
                new int[] {(most * group + 63) / 64, cache.kvHeads, sequences},
                kernel.startsWith("flash") ? 128 : 256,
                step[0],
                cache.keys,
                cache.values,
                step[1],
                step[2],
                step[3],
                maxBlocks,
                cache.blockSize,
                heads,
                cache.kvHeads,
                cache.size,
                (float) (1 / Math.sqrt(cache.size)),
                step[4]);
    }

    private void decode(
            String type, Cache cache, int heads, int parts, int sequences, CUdeviceptr[] step, int maxBlocks) {
        CUdeviceptr partial = device.room(4L * sequences * heads * parts * cache.size);
        CUdeviceptr stats = device.room(8L * sequences * heads * parts);
        int groups = (heads / cache.kvHeads + 7) / 8;
        device.launch(
                "attention_decode_" + type,
                new int[] {parts, cache.kvHeads * groups, sequences},
                128,
                step[0],
                cache.keys,
                cache.values,
                step[1],
                step[2],
                step[3],
                maxBlocks,
                cache.blockSize,
                heads,
                cache.kvHeads,
                cache.size,
                (float) (1 / Math.sqrt(cache.size)),
                partial,
                stats);
        device.launch(
                "attention_combine",
                new int[] {heads, sequences},
                128,
                partial,
                stats,
                step[1],
                step[2],
                parts,
                heads,
                cache.size,
                step[4]);
    }

    @ParameterizedTest
    @CsvSource({"f32,4,2,40,16", "bf16,4,2,64,16", "f16,12,1,24,8", "bf16,9,1,256,4", "f16,8,8,5,3", "f32,20,2,8,32"})
    void promptsAndSingleTokensOfAMixedStepMeetTheirOwnContext(
            String type, int heads, int kvHeads, int size, int blockSize) {
        meetTheirOwnContext("attention_prefill_" + type, type, heads, kvHeads, size, blockSize, 2e-6);
    }

    @ParameterizedTest
    @CsvSource({"bf16,4,2,64,16", "bf16,3,1,128,4", "f16,12,1,24,8", "f16,6,2,88,3"})
    void promptsOnTensorCoresMeetTheirOwnContext(String type, int heads, int kvHeads, int size, int blockSize) {
        assumeTrue(device.tensorCores, "a device without tensor cores that take bf16");
        double rounding = type.equals("bf16") ? 0x1p-9 : 0x1p-12; // of an exponential, relative
        meetTheirOwnContext(flash(type, size), type, heads, kvHeads, size, blockSize, 2 * rounding);
    }

    private static String flash(String type, int size) {
        return "flash_prefill_" + type + (size > 64 ? "_128" : "_64");
    }

    private void meetTheirOwnContext(
            String kernel, String type, int heads, int kvHeads, int size, int blockSize, double tolerance) {
        int[] contexts = {300, 41, 130, 1, 257}; // of them new: all, one, some, one, one
        int[] fresh = {300, 1, 70, 1, 1};
        int maxBlocks = (300 + blockSize - 1) / blockSize;
        int sequences = contexts.length;
        Cache cache = cache(type, sequences * maxBlocks, blockSize, kvHeads, size);
        int[] tables = new int[sequences * maxBlocks];
        for (int i = 0; i < tables.length; i++) {
            tables[i] = (i * 7 + 3) % tables.length; // 7 does not divide their number
        }
        assertThat(Arrays.stream(tables).distinct().count()).isEqualTo(tables.length);
        float[][] keys = new float[sequences][];
        float[][] values = new float[sequences][];
        int[] starts = new int[sequences + 1];
        for (int s = 0; s < sequences; s++) {
            keys[s] = gaussian(contexts[s] * kvHeads * size);
            values[s] = gaussian(contexts[s] * kvHeads * size);
            int at = s * maxBlocks;
            int[] slots = IntStream.range(0, contexts[s])
                    .map(p -> tables[at + p / blockSize] * blockSize + p % blockSize)
                    .toArray();
            write(type, cache, keys[s], values[s], slots);
            keys[s] = rounded(keys[s], type);
            values[s] = rounded(values[s], type);
            starts[s + 1] = starts[s] + fresh[s];
        }
        float[] query = gaussian(starts[sequences] * heads * size);
        CUdeviceptr out = device.room(4L * query.length);
        CUdeviceptr[] step = {device.of(query), device.of(starts), device.of(contexts), device.of(tables), out};
        prefill(kernel, cache, heads, 300, sequences, step, maxBlocks);
        decode(type, cache, heads, 3, sequences, step, maxBlocks);
        float[] actual = device.floats(out, query.length);
        float[] rounded = rounded(query, kernel.startsWith("flash") ? type : "f32");
        for (int s = 0; s < sequences; s++) {
            for (int t = 0; t < fresh[s]; t++) {
                int row = starts[s] + t;
                int visible = contexts[s] - fresh[s] + t + 1;
                for (int h = 0; h < heads; h++) {
                    boolean alone = fresh[s] == 1;
                    double[] expected = attend(
                            alone ? query : rounded,
                            (row * heads + h) * size,
                            keys[s],
                            values[s],
                            visible,
                            kvHeads,
                            h * kvHeads / heads,
                            size);
                    for (int e = 0; e < size; e++) {
                        assertThat((double) actual[(row * heads + h) * size + e])
                                .as("sequence %d, token %d, head %d, element %d", s, t, h, e)
                                .isCloseTo(expected[e], within(alone ? 2e-6 : tolerance));
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"bf16,64", "f16,128"})
    void aTokenOnTensorCoresHasTheSameBitsHoweverItsPromptIsCut(String type, int size) {
        assumeTrue(device.tensorCores, "a device without tensor cores that take bf16");
        int length = 150;
        int heads = 3;
        Cache cache = cache(type, 38, 4, 1, size);
        write(
                type,
                cache,
                gaussian(length * size),
                gaussian(length * size),
                IntStream.range(0, length).toArray());
        float[] query = gaussian(length * heads * size);
        CUdeviceptr table = device.of(IntStream.range(0, 38).toArray());
        float[] whole = null;
        for (int[] chunks : new int[][] {{150}, {64, 86}, {2, 3, 61, 84}, {130, 2, 18}}) {
            float[] all = new float[query.length];
            int done = 0;
            for (int chunk : chunks) {
                int from = done * heads * size;
                int count = chunk * heads * size;
                CUdeviceptr out = device.room(4L * count);
                CUdeviceptr[] step = {
                    device.of(Arrays.copyOfRange(query, from, from + count)),
                    device.of(0, chunk),
                    device.of(done + chunk),
                    table,
                    out
                };
                prefill(flash(type, size), cache, heads, chunk, 1, step, 38);
                System.arraycopy(device.floats(out, count), 0, all, from, count);
                done += chunk;
            }
            whole = whole == null ? all : whole;
            assertThat(all).as("chunks %s", Arrays.toString(chunks)).isEqualTo(whole);
        }
    }

    private static double[] attend(
            float[] query, int at, float[] keys, float[] values, int visible, int kvHeads, int kvHead, int size) {
        double[] weights = new double[visible];
        double largest = Double.NEGATIVE_INFINITY;
        for (int p = 0; p < visible; p++) {
            for (int e = 0; e < size; e++) {
                weights[p] += query[at + e] / Math.sqrt(size) * keys[(p * kvHeads + kvHead) * size + e];
            }
            largest = Math.max(largest, weights[p]);
        }
        double total = 0;
        double[] out = new double[size];
        for (int p = 0; p < visible; p++) {
            double weight = Math.exp(weights[p] - largest);
            total += weight;
            for (int e = 0; e < size; e++) {
                out[e] += weight * values[(p * kvHeads + kvHead) * size + e];
            }
        }
        for (int e = 0; e < size; e++) {
            out[e] /= total;
        }
        return out;
    }

    @Test
    void paddingWritesNothingReadsNothingAndGivesZeros() {
        Cache cache = cache("bf16", 4, 4, 1, 8);
        check(JCudaDriver.cuMemsetD8(cache.keys, (byte) 0, 4 * 4 * 8 * 2));
        check(JCudaDriver.cuMemsetD8(cache.values, (byte) 0, 4 * 4 * 8 * 2));
        write("bf16", cache, filled(3 * 8, 1), filled(3 * 8, 2), 5, -1, -1);
        short[] keys = device.shorts(cache.keys, 4 * 4 * 8);
        short one = Half.floatToBf16(1);
        for (int i = 0; i < keys.length; i++) {
            assertThat(keys[i]).isEqualTo(i / 8 == 5 ? one : 0);
        }
        CUdeviceptr out = device.room(4 * 3 * 2 * 8);
        CUdeviceptr[] step = {
            device.of(filled(3 * 2 * 8, 1)),
            device.of(0, 1, 2, 3),
            device.of(2, 0, 0),
            device.of(1, -1, -1, -1, -1, -1), // slots 4 and 5; a table's rest is never read
            out
        };
        decode("bf16", cache, 2, 2, 3, step, 2);
        float[] actual = device.floats(out, 3 * 2 * 8);
        double seen = Math.exp(8 / Math.sqrt(8)); // of the second position, whose score is the sum of eight ones
        for (int i = 0; i < actual.length; i++) {
            double expected = i < 2 * 8 ? 2 * seen / (seen + 1) : 0;
            assertThat((double) actual[i]).isCloseTo(expected, within(1e-6));
        }
    }

    @Test
    void aCapturedStepReplaysWithOtherSequencesInTheSameBuffers() {
        Cache cache = cache("f32", 8, 4, 1, 8);
        float[] keys = gaussian(32 * 8);
        float[] values = gaussian(32 * 8);
        write("f32", cache, keys, values, IntStream.range(0, 32).toArray());
        float[] query = gaussian(2 * 8);
        CUdeviceptr starts = device.of(0, 1, 2);
        CUdeviceptr contexts = device.of(3, 0);
        CUdeviceptr tables = device.of(0, 1, 2, 3, 4, 5, 6, 7);
        CUdeviceptr out = device.room(4 * 2 * 8);
        CUdeviceptr[] step = {device.of(query), starts, contexts, tables, out};
        check(device.synchronize());
        check(JCudaDriver.cuStreamBeginCapture(device.stream, 2)); // relaxed: decode() allocates
        decode("f32", cache, 1, 1, 2, step, 4);
        CUgraph graph = new CUgraph();
        check(JCudaDriver.cuStreamEndCapture(device.stream, graph));
        CUgraphExec replay = new CUgraphExec();
        check(JCudaDriver.cuGraphInstantiate(replay, graph, 0));
        int[][] steps = {{3, 0}, {4, 7}, {16, 1}};
        for (int[] lengths : steps) {
            device.write(contexts, lengths);
            check(JCudaDriver.cuGraphLaunch(replay, device.stream));
            float[] actual = device.floats(out, 16);
            for (int s = 0; s < 2; s++) {
                double[] expected = lengths[s] == 0
                        ? new double[8]
                        : attend(
                                query,
                                8 * s,
                                Arrays.copyOfRange(keys, 128 * s, 128 * s + 128),
                                Arrays.copyOfRange(values, 128 * s, 128 * s + 128),
                                lengths[s],
                                1,
                                0,
                                8);
                for (int e = 0; e < 8; e++) {
                    assertThat((double) actual[8 * s + e]).isCloseTo(expected[e], within(2e-6));
                }
            }
        }
        check(JCudaDriver.cuGraphExecDestroy(replay));
        check(JCudaDriver.cuGraphDestroy(graph));
    }

    private static void check(int result) {
        Launches.check(result);
    }

    private static float[] filled(int count, float value) {
        float[] values = new float[count];
        Arrays.fill(values, value);
        return values;
    }
}
