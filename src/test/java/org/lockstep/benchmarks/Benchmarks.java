package org.lockstep.benchmarks;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/**
 * Runs the benchmarks, each in a JVM of its own, and looks for {@link Cliffs}: where there is one the exit code is 1. The time
 * of a call is that of the fastest measured iteration, for what else a busy machine does only adds to it.
 */
public final class Benchmarks {
    private Benchmarks() {}

    /**
     * Runs those whose names the arguments are found in, or all of them.
     *
     * @param patterns regular expressions, such as {@code Linear} or {@code AttentionBenchmark.rotate}
     */
    public static void main(String[] patterns) throws RunnerException {
        OptionsBuilder options = new OptionsBuilder();
        for (String pattern : patterns) {
            options.include(pattern);
        }
        if (patterns.length == 0) {
            options.include("org\\.lockstep\\..*");
        }
        options.mode(Mode.AverageTime)
                .timeUnit(TimeUnit.MICROSECONDS)
                .forks(1)
                .warmupIterations(6)
                .warmupTime(TimeValue.milliseconds(500)) // for a trial of vectors too, while they are interpreted
                .measurementIterations(3)
                .measurementTime(TimeValue.milliseconds(150))
                .shouldFailOnError(true);
        Map<String, Double> micros = new TreeMap<>();
        for (RunResult result : results(options)) {
            micros.put(
                    name(result.getParams()),
                    result.getPrimaryResult().getStatistics().getMin());
        }
        List<String> wrong = Cliffs.create().find(micros, System.out);
        if (!wrong.isEmpty()) {
            System.err.println(String.join(System.lineSeparator(), wrong));
            System.exit(1);
        }
    }

    private static Collection<RunResult> results(OptionsBuilder options) throws RunnerException {
        return new Runner(options.build()).run();
    }

    /** For example {@code linear form=cpu tokens=1 type=F32}. */
    private static String name(BenchmarkParams params) {
        StringBuilder name = new StringBuilder(params.getBenchmark().replaceAll(".*\\.", ""));
        params.getParamsKeys().stream()
                .sorted()
                .forEach(key -> name.append(' ').append(key).append('=').append(params.getParam(key)));
        return name.toString();
    }
}
