package org.lockstep;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestPlan;

/**
 * Writes {@code target/faults.md} when a JVM of the build is done with its tests: which case of the catalogue has which test, how
 * that ended, the bound by which all ranks are to be released, and the longest release that a test measured. The last JVM's table
 * has the tests of all.
 */
public final class FaultTable implements TestExecutionListener {
    @Override
    public void testPlanExecutionFinished(TestPlan plan) {
        try {
            if (Files.isDirectory(FaultLog.DIRECTORY)) {
                Files.writeString(FaultLog.TABLE, text());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String text() throws IOException {
        Map<String, Long> released = new TreeMap<>();
        Map<String, TreeSet<String>> tests = new TreeMap<>();
        for (String line : lines()) {
            String[] fields = line.split("\t", -1);
            if (fields[1].equals("released")) {
                released.merge(fields[0], Long.parseLong(fields[2]), Math::max);
            } else {
                String outcome = fields[1].equals("passed") ? "" : " (" + fields[1] + ")";
                tests.computeIfAbsent(fields[0], any -> new TreeSet<>()).add(fields[2] + outcome);
            }
        }
        StringBuilder table = new StringBuilder(
                "| case | what goes wrong | bound | released in at most | tests | left out: it needs a GPU |\n");
        table.append("|---|---|---|---|---|---|\n");
        FaultCatalogue.cases()
                .forEach((number, words) -> table.append("| ")
                        .append(String.join(
                                " | ",
                                number,
                                words,
                                released.containsKey(number) ? measured(number, released.get(number)) : "",
                                String.join(", ", tests.getOrDefault(number, new TreeSet<>())),
                                FaultCatalogue.onAGpu().getOrDefault(number, "")))
                        .append(" |\n"));
        return table.toString();
    }

    private static String measured(String number, long millis) {
        boolean over = FaultCatalogue.bound(number)
                .filter(bound -> millis > bound.toMillis())
                .isPresent();
        return millis + " ms" + (over ? " (over)" : "");
    }

    private static List<String> lines() throws IOException {
        List<String> lines = new ArrayList<>();
        try (Stream<Path> files = Files.list(FaultLog.DIRECTORY)) {
            for (Path file : files.toList()) {
                lines.addAll(Files.readAllLines(file));
            }
        }
        return lines;
    }
}
