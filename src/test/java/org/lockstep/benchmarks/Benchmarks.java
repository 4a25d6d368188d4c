package org.lockstep.benchmarks;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
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
 * Runs the benchmarks and compares each kernel with its plain form of the same run. A vector kernel that fell off a cliff (its
 * vectors boxed, a helper not inlined) is many times slower than it was, and slower than plain loops: then the exit code is 1.
 * Only ratios count, so that a slow or a busy machine fails nothing.
 */
public final class Benchmarks {
    /** A kernel may take so many times what its plain form takes: some have nothing to gain, and both are measured on a busy machine. */
    static final double MOST = 2;

    private Benchmarks() {}

    /**
     * Runs those whose names the arguments are found in, or all of them.
     *
     * @param patterns regular expressions, such as {@code Linear} or {@code KernelsBenchmark.rotate}
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
                .warmupIterations(4)
                .warmupTime(TimeValue.milliseconds(250))
                .measurementIterations(5)
                .measurementTime(TimeValue.milliseconds(200))
                .shouldFailOnError(true);
        Map<String, Double> micros = new TreeMap<>();
        for (RunResult result : results(options)) {
            micros.put(name(result.getParams()), result.getPrimaryResult().getScore());
        }
        List<String> cliffs = cliffs(micros, System.out);
        if (!cliffs.isEmpty()) {
            System.err.println("slower than " + MOST + " times the plain form: " + String.join(", ", cliffs));
            System.exit(1);
        }
    }

    private static Collection<RunResult> results(OptionsBuilder options) throws RunnerException {
        return new Runner(options.build()).run();
    }

    /** For example {@code linear form=cpu shape=768x2048 tokens=1 type=F32}. */
    private static String name(BenchmarkParams params) {
        StringBuilder name = new StringBuilder(params.getBenchmark().replaceAll(".*\\.", ""));
        params.getParamsKeys().stream()
                .sorted()
                .forEach(key -> name.append(' ').append(key).append('=').append(params.getParam(key)));
        return name.toString();
    }

    /**
     * Prints a line for each kernel that has both forms, and returns those that fell off.
     *
     * @param micros of a call, by {@link #name}; those with no form are left out
     */
    static List<String> cliffs(Map<String, Double> micros, PrintStream out) {
        List<String> cliffs = new ArrayList<>();
        out.printf(Locale.ROOT, "%-55s %12s %12s %8s%n", "kernel", "ours (us)", "plain (us)", "faster");
        micros.forEach((name, ours) -> {
            Double plain = micros.get(name.replace("form=" + Forms.OURS, "form=" + Forms.PLAIN));
            if (name.contains("form=" + Forms.OURS) && plain != null) {
                String kernel = name.replace(" form=" + Forms.OURS, "");
                boolean fell = ours > MOST * plain;
                out.printf(
                        Locale.ROOT,
                        "%-55s %12.2f %12.2f %7.2fx%s%n",
                        kernel,
                        ours,
                        plain,
                        plain / ours,
                        fell ? "  <- off a cliff" : "");
                if (fell) {
                    cliffs.add(kernel);
                }
            }
        });
        return cliffs;
    }
}
