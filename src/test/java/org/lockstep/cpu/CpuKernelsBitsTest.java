package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/** The bits of every kernel are those of plain Java on one thread, whatever computes: vectors, threads, another JVM. */
class CpuKernelsBitsTest {
    private static float[] random(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian() * (i % 17 == 0 ? 30 : 1);
        }
        return values;
    }

    /** What all kernels give for the same inputs, one after the other. */
    private static List<float[]> results(CpuKernels kernels) {
        List<float[]> results = new ArrayList<>();
        Random random = new Random(3);
        for (WeightType type : WeightType.values()) {
            for (int[] size : new int[][] {{70, 300, 1}, {130, 96, 3}, {64, 160, 5}, {9, 33, 1}}) {
                MatrixSource source =
                        MatrixSource.of(Buffer.ofFloats(random(random, size[0] * size[1])), size[0], size[1]);
                for (int tokens : new int[] {1, 2, 3, 4, 7, 197, 200}) {
                    Weight weight = kernels.prepare(source, type, size[2]);
                    Tensor x = kernels.upload(Buffer.ofFloats(random(random, tokens * size[1])), tokens, size[1]);
                    Tensor y = kernels.zeros(DataType.F32, tokens, size[0]);
                    kernels.linear(x, weight, null, y);
                    results.add(y.buffer().toHost().toFloats());
                }
            }
        }
        for (int headSize : new int[] {40, 5, 64, 80, 6}) { // a smaller one after a larger one and the other way round
            for (int blockSize : new int[] {16, 24, 48, 4}) {
                results.add(attention(kernels, random, headSize, blockSize));
            }
        }
        Tensor gate = kernels.upload(Buffer.ofFloats(random(random, 3 * 101)), 3, 101);
        kernels.swiGlu(gate, kernels.upload(Buffer.ofFloats(random(random, 3 * 101)), 3, 101));
        results.add(gate.buffer().toHost().toFloats());
        Tensor norm = kernels.upload(Buffer.ofFloats(random(random, 5 * 101)), 5, 101);
        kernels.rmsNorm(norm, kernels.upload(Buffer.ofFloats(random(random, 101)), 101), 1e-5f, norm);
        results.add(norm.buffer().toHost().toFloats());
        kernels.add(norm, kernels.upload(Buffer.ofFloats(random(random, 5 * 101)), 5, 101));
        results.add(norm.buffer().toHost().toFloats());
        return results;
    }

    private static float[] attention(CpuKernels kernels, Random random, int headSize, int blockSize) {
        int first = (140 + blockSize - 1) / blockSize;
        int both = first + (37 + blockSize - 1) / blockSize;
        int[][] blocks = {
            IntStream.range(0, first).toArray(), IntStream.range(first, both).toArray()
        };
        BatchLayout layout = new BatchLayout(new int[] {0, 140, 141}, new int[] {140, 37}, blocks, blockSize);
        CacheBlocks cache = kernels.cache(DataType.F32, both, blockSize, 2, headSize);
        BatchLayout all = new BatchLayout(new int[] {0, 140, 177}, new int[] {140, 37}, blocks, blockSize);
        Tensor keys = kernels.upload(Buffer.ofFloats(random(random, 177 * 2 * headSize)), 177, 2 * headSize);
        Tensor values = kernels.upload(Buffer.ofFloats(random(random, 177 * 2 * headSize)), 177, 2 * headSize);
        kernels.writeCache(keys, values, cache, all);
        Tensor query = kernels.upload(Buffer.ofFloats(random(random, 141 * 6 * headSize)), 141, 6 * headSize);
        Tensor out = kernels.zeros(DataType.F32, 141, 6 * headSize);
        kernels.attention(query, cache, layout, out);
        return out.buffer().toHost().toFloats();
    }

    private static List<float[]> plain() {
        try (CpuKernels kernels = CpuKernels.create(Arithmetic.plain(8), 1, false)) {
            return results(kernels);
        }
    }

    private static void assertSameBits(CpuKernels kernels, List<float[]> expected) {
        List<float[]> actual = results(kernels);
        assertThat(actual).hasSameSizeAs(expected);
        for (int i = 0; i < actual.size(); i++) {
            assertThat(actual.get(i)).as("result %d", i).isEqualTo(expected.get(i));
        }
    }

    @Test
    void ofVectors() {
        try (CpuKernels kernels = CpuKernels.create(Arithmetic.vectors(), 1, false)) {
            assertSameBits(kernels, plain());
        }
    }

    /** The JIT takes the place of the interpreter meanwhile, and vectors that of plain Java. */
    @Test
    void whileTheMachineWarmsUp() {
        List<float[]> expected = plain();
        try (CpuKernels kernels = CpuKernels.create(1)) {
            for (int round = 0; round < 10; round++) {
                assertSameBits(kernels, expected);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 16, 32, 64})
    void ofWiderPanels(int panel) {
        try (CpuKernels kernels = CpuKernels.create(Arithmetic.plain(panel), 1, false)) {
            assertSameBits(kernels, plain());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    void ofThreads(int threads) {
        try (CpuKernels kernels = CpuKernels.create(threads)) {
            assertSameBits(kernels, plain());
        }
    }

    /** A JVM without the module computes, and the same. */
    @Test
    @Timeout(120)
    void ofAJvmWithoutTheModule() throws Exception {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Process process = new ProcessBuilder(
                        java.toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        CpuKernelsBitsTest.class.getName())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).isZero();
        assertThat(said.lines()).containsExactly("plain Java, 1 thread", digest(plain()));
    }

    public static void main(String[] args) {
        try (CpuKernels kernels = CpuKernels.create()) {
            System.out.println(kernels);
            System.out.println(digest(results(kernels)));
        }
    }

    private static String digest(List<float[]> results) {
        return Integer.toHexString(Arrays.deepHashCode(results.toArray()));
    }
}
