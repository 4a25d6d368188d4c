package org.lockstep.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.WeightType;
import org.openjdk.jmh.annotations.Benchmark;

/** The two forms that a ratio is made of compute the same, and a ratio that is too large is found. */
class BenchmarksTest {
    @ParameterizedTest
    @CsvSource({"F32,1", "F32,32", "BF16,1", "BF16,32", "F16,8", "Q8,1", "Q8,8"})
    void bothFormsMultiplyAlike(WeightType type, int tokens) {
        float[] ours = floats(product(Forms.OURS, type, tokens));
        float[] plain = floats(product(Forms.PLAIN, type, tokens));
        float tolerance = type == WeightType.Q8 ? 0.5f : 1e-3f; // of sums of 2,048 numbers in ±1
        assertThat(ours).containsExactly(plain, within(tolerance));
    }

    private static Tensor product(String form, WeightType type, int tokens) {
        LinearBenchmark benchmark = new LinearBenchmark();
        benchmark.form = form;
        benchmark.type = type;
        benchmark.tokens = tokens;
        benchmark.prepare();
        Tensor out = benchmark.linear();
        benchmark.close();
        return out;
    }

    static Stream<String> kernels() {
        return Arrays.stream(KernelsBenchmark.class.getMethods())
                .filter(method -> method.isAnnotationPresent(Benchmark.class))
                .map(Method::getName)
                .sorted();
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void bothFormsOfAKernelComputeTheSame(String kernel) throws ReflectiveOperationException {
        assertThat(run(Forms.OURS, kernel)).containsExactly(run(Forms.PLAIN, kernel), within(1e-4f));
    }

    /** What a kernel wrote; of one that writes to the cache what attention then makes of it. */
    private static float[] run(String form, String kernel) throws ReflectiveOperationException {
        KernelsBenchmark benchmark = new KernelsBenchmark();
        benchmark.form = form;
        benchmark.tokens = 3;
        benchmark.prepare();
        Object result = KernelsBenchmark.class.getMethod(kernel).invoke(benchmark);
        Object written = kernel.equals("writeCache") ? benchmark.decodeAttention() : result;
        float[] values;
        if (written instanceof int[] indices) {
            values = new float[indices.length];
            for (int i = 0; i < indices.length; i++) {
                values[i] = indices[i];
            }
        } else {
            values = floats((Tensor) written);
        }
        benchmark.close();
        return values;
    }

    private static float[] floats(Tensor tensor) {
        return ((HostBuffer) tensor.buffer()).toFloats();
    }

    @Test
    void aKernelOffACliffIsNamed() {
        Map<String, Double> micros = new TreeMap<>(Map.of(
                "linear form=cpu tokens=1 type=Q8", 21.0,
                "linear form=plain tokens=1 type=Q8", 10.0,
                "linear form=cpu tokens=8 type=Q8", 19.0,
                "linear form=plain tokens=8 type=Q8", 10.0,
                "sample way=greedy", 5.0));
        ByteArrayOutputStream table = new ByteArrayOutputStream();
        assertThat(Benchmarks.cliffs(micros, new PrintStream(table, true, StandardCharsets.UTF_8)))
                .containsExactly("linear tokens=1 type=Q8");
        assertThat(table.toString(StandardCharsets.UTF_8))
                .contains("linear tokens=8 type=Q8", "0.53x", "0.48x  <- off a cliff")
                .doesNotContain("sample");
    }
}
