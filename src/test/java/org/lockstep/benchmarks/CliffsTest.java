package org.lockstep.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** A kernel that falls is found by its ratio, also where a rank hides it by turning to plain Java. */
class CliffsTest {
    private static final String KERNEL = "linear tokens=4 type=Q8";

    private final ByteArrayOutputStream table = new ByteArrayOutputStream();

    private List<String> find(Map<String, Double> expected, double rank, double vectors, double plain) {
        Map<String, Double> micros = new TreeMap<>(Map.of(
                "linear form=cpu tokens=4 type=Q8", rank,
                "linear form=vectors tokens=4 type=Q8", vectors,
                "linear form=plain tokens=4 type=Q8", plain,
                "sample way=greedy", 5.0));
        return new Cliffs(expected).find(micros, new PrintStream(table, true, StandardCharsets.UTF_8));
    }

    private List<String> find(double expected, double rank, double vectors, double plain) {
        return find(Map.of(KERNEL, expected), rank, vectors, plain);
    }

    @Test
    void vectorsAsFastAsExpectedAreNoFault() {
        assertThat(find(8, 10, 10, 80)).isEmpty();
        assertThat(find(8, 19, 10, 40)).as("half the gain, on a busy machine").isEmpty();
        assertThat(find(1, 10, 10, 6)).as("nothing to gain").isEmpty();
        assertThat(table.toString(StandardCharsets.UTF_8))
                .contains(KERNEL, "8.00x", "4.00x", "2.67x")
                .doesNotContain("<-", "sample");
    }

    /** Q8 over four rows was once 7 to 14 times slower than over one. */
    @Test
    void boxedVectorsAreFoundAlthoughARankTurnsToPlainJava() {
        assertThat(find(8, 20, 70, 80)).as("7 times slower").containsExactly(KERNEL + ": off a cliff");
        assertThat(find(8, 20, 150, 80)).as("15 times slower").containsExactly(KERNEL + ": off a cliff");
        assertThat(find(2, 10, 11, 10)).as("slower than plain loops").containsExactly(KERNEL + ": off a cliff");
        assertThat(table.toString(StandardCharsets.UTF_8)).contains("1.14x    2.67x  <- off a cliff");
    }

    @Test
    void aTrialThatIsNotOverIsFound() {
        assertThat(find(8, 21, 10, 80)).containsExactly(KERNEL + ": a rank does not take the vectors");
    }

    @Test
    void aKernelOfWhichNothingIsExpectedIsFound() {
        assertThat(find(Map.of(), 10, 10, 80)).containsExactly(KERNEL + ": nothing is expected of it");
    }

    @Test
    void theLeastIsAThirdOfWhatIsExpectedOrNoLoss() {
        assertThat(Cliffs.least(9)).isEqualTo(3);
        assertThat(Cliffs.least(2.4)).isEqualTo(1);
        assertThat(Cliffs.least(1)).isEqualTo(0.5, within(1e-9));
    }

    /** Every benchmark of kernels with all values of its parameters: a new one is given its ratio before it is forgotten. */
    @Test
    void somethingIsExpectedOfEveryKernel() throws ReflectiveOperationException {
        Map<String, Double> micros = new TreeMap<>();
        for (Class<?> each : List.of(
                KernelsBenchmark.class, AttentionBenchmark.class, LinearBenchmark.class, PrepareBenchmark.class)) {
            List<String> names = new ArrayList<>(List.of(""));
            for (String key : List.of("form", "head", "tokens", "type")) {
                names = with(names, each, key);
            }
            for (String kernel : Stream.of(each.getMethods())
                    .filter(method -> method.isAnnotationPresent(Benchmark.class))
                    .map(method -> method.getName())
                    .toList()) {
                names.forEach(name -> micros.put(kernel + name, name.contains(Forms.PLAIN) ? 1000.0 : 1.0));
            }
        }
        assertThat(Cliffs.create().find(micros, new PrintStream(table, true, StandardCharsets.UTF_8)))
                .isEmpty();
    }

    private static List<String> with(List<String> names, Class<?> benchmark, String key) {
        try {
            String[] values = benchmark.getField(key).getAnnotation(Param.class).value();
            return names.stream()
                    .flatMap(name -> Stream.of(values).map(value -> name + " " + key + "=" + value))
                    .toList();
        } catch (NoSuchFieldException e) {
            return names;
        }
    }
}
