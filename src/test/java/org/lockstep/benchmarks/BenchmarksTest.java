package org.lockstep.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.WeightType;
import org.openjdk.jmh.annotations.Benchmark;

/** The forms that a ratio is made of compute the same. */
class BenchmarksTest {
    @ParameterizedTest
    @CsvSource({"F32,1", "F32,32", "BF16,1", "BF16,32", "F16,7", "Q8,1", "Q8,4"})
    void allFormsMultiplyAlike(WeightType type, int tokens) {
        float[] plain = floats(product(Forms.PLAIN, type, tokens));
        float tolerance = type == WeightType.Q8 ? 0.5f : 1e-3f; // of sums of 2,048 numbers in ±1
        assertThat(floats(product(Forms.OURS, type, tokens))).containsExactly(plain, within(tolerance));
        assertThat(floats(product(Forms.VECTORS, type, tokens))).containsExactly(plain, within(tolerance));
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

    static Stream<Method> kernels() {
        return Stream.of(KernelsBenchmark.class, AttentionBenchmark.class)
                .flatMap(each -> Arrays.stream(each.getMethods()))
                .filter(method -> method.isAnnotationPresent(Benchmark.class));
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void allFormsOfAKernelComputeTheSame(Method kernel) throws ReflectiveOperationException {
        float[] plain = run(Forms.PLAIN, kernel);
        assertThat(run(Forms.OURS, kernel)).containsExactly(plain, within(1e-4f));
        assertThat(run(Forms.VECTORS, kernel)).containsExactly(plain, within(1e-4f));
    }

    /** What a kernel wrote; of one that writes to the cache what attention then makes of it. */
    private static float[] run(String form, Method kernel) throws ReflectiveOperationException {
        if (kernel.getDeclaringClass() == KernelsBenchmark.class) {
            KernelsBenchmark benchmark = new KernelsBenchmark();
            benchmark.form = form;
            benchmark.tokens = 3;
            benchmark.prepare();
            float[] values = values(kernel.invoke(benchmark));
            benchmark.close();
            return values;
        }
        AttentionBenchmark benchmark = new AttentionBenchmark();
        benchmark.form = form;
        benchmark.tokens = 3;
        benchmark.head = 72;
        benchmark.prepare();
        Object result = kernel.invoke(benchmark);
        float[] values = values(kernel.getName().equals("writeCache") ? benchmark.decodeAttention() : result);
        benchmark.close();
        return values;
    }

    private static float[] values(Object written) {
        if (!(written instanceof int[] indices)) {
            return floats((Tensor) written);
        }
        float[] values = new float[indices.length];
        for (int i = 0; i < indices.length; i++) {
            values[i] = indices[i];
        }
        return values;
    }

    private static float[] floats(Tensor tensor) {
        return ((HostBuffer) tensor.buffer()).toFloats();
    }
}
