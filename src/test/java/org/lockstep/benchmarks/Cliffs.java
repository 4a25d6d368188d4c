package org.lockstep.benchmarks;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/**
 * Compares each kernel in vectors with the same as plain loops, and with itself as a rank computes it, all of one run. Only
 * ratios count, so that a slow machine fails nothing. Three things are wrong:
 *
 * <ul>
 *   <li>vectors gain less than a third of what they gained where the expected ratios were measured, or nothing where they gained
 *       twice: boxed vectors and a helper that is not inlined cost five to fifteen times; a machine of half the vectors' length
 *       costs two;
 *   <li>a rank takes more than twice the time of its vectors: their trial is not over after the warm-up, or was lost;
 *   <li>nothing is expected of a kernel, so that nobody would see it fall.
 * </ul>
 */
final class Cliffs {
    /** Of the gain that is expected so much may be missing. */
    private static final double SLACK = 3;

    /** What has nothing to gain, and what is measured twice, may differ so much on a busy machine. */
    private static final double NOISE = 2;

    private final Map<String, Double> expected;

    Cliffs(Map<String, Double> expected) {
        this.expected = Map.copyOf(expected);
    }

    /** With the ratios of {@code expected-ratios.txt}. */
    static Cliffs create() {
        String text;
        try (InputStream in = Objects.requireNonNull(Cliffs.class.getResourceAsStream("expected-ratios.txt"))) {
            text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Map<String, Double> expected = new TreeMap<>();
        text.lines().filter(line -> !line.isBlank() && !line.startsWith("#")).forEach(line -> {
            int at = line.lastIndexOf(' ');
            expected.put(line.substring(0, at).strip(), Double.valueOf(line.substring(at + 1)));
        });
        return new Cliffs(expected);
    }

    /** The least that plain loops must take, in times of what vectors take. */
    static double least(double expected) {
        return Math.max(expected / SLACK, Math.min(1, expected / NOISE));
    }

    /**
     * Prints a line for each kernel that has its forms, and returns what is wrong.
     *
     * @param micros of a call, by the benchmark's name and parameters; those with no form are left out
     */
    List<String> find(Map<String, Double> micros, PrintStream out) {
        List<String> wrong = new ArrayList<>();
        out.printf(
                Locale.ROOT,
                "%-45s %12s %12s %12s %8s %8s%n",
                "kernel",
                "a rank (us)",
                "vectors (us)",
                "plain (us)",
                "faster",
                "least");
        micros.forEach((name, vectors) -> {
            Double ours = micros.get(name.replace(form(Forms.VECTORS), form(Forms.OURS)));
            Double plain = micros.get(name.replace(form(Forms.VECTORS), form(Forms.PLAIN)));
            if (name.contains(form(Forms.VECTORS)) && plain != null && ours != null) {
                String kernel = name.replace(form(Forms.VECTORS), "");
                double ratio = plain / vectors;
                Double wanted = expected.get(kernel);
                double least = wanted == null ? Double.NaN : least(wanted);
                String fault = null;
                if (wanted == null) {
                    fault = "nothing is expected of it";
                } else if (ratio < least) {
                    fault = "off a cliff";
                } else if (ours > NOISE * vectors) {
                    fault = "a rank does not take the vectors";
                }
                out.printf(
                        Locale.ROOT,
                        "%-45s %12.2f %12.2f %12.2f %7.2fx %7.2fx%s%n",
                        kernel,
                        ours,
                        vectors,
                        plain,
                        ratio,
                        least,
                        fault == null ? "" : "  <- " + fault);
                if (fault != null) {
                    wrong.add(kernel + ": " + fault);
                }
            }
        });
        return wrong;
    }

    private static String form(String form) {
        return " form=" + form;
    }
}
