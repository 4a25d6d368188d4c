package org.lockstep;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.AnnotatedElement;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.TestWatcher;

/**
 * Writes what became of each test of a fault to a folder of the build in {@code target/faults/}, a line a result, for the table of
 * its report.
 *
 * <p>Each JVM appends to a file of its own, so that forks of the build do not meet.
 */
public final class FaultLog implements TestWatcher {
    static final Path DIRECTORY = Path.of("target", "faults", System.getProperty("lockstep.build", "by-hand"));
    static final Path TABLE = Path.of("target", "faults.md");

    /**
     * What a machine that does other work beside adds to a bound, at most: {@code -Dlockstep.faults.busy}, in seconds. Less than a
     * rank's silence takes to be its loss, or a death that is only seen so would pass for one that is seen at once.
     */
    private static final Duration BUSY = Duration.ofSeconds(Integer.getInteger("lockstep.faults.busy", 10));

    /**
     * How long the ranks of this test were held after the fault, measured by the test itself. Fails where that is more than the
     * case's bound and what a busy machine adds; the table shows time and bound.
     */
    public static void released(String faultCase, Duration time) {
        FaultCatalogue.bound(faultCase)
                .ifPresent(
                        bound -> assertThat(time).as("release of " + faultCase).isLessThan(bound.plus(BUSY)));
        measured(faultCase, time);
    }

    /** The same for a time that a busy machine stretches without limit: the table shows where it is over the bound. */
    public static void measured(String faultCase, Duration time) {
        append(faultCase + "\treleased\t" + time.toMillis());
    }

    @Override
    public void testSuccessful(ExtensionContext test) {
        append(test, "passed");
    }

    @Override
    public void testFailed(ExtensionContext test, Throwable cause) {
        append(test, "failed");
    }

    @Override
    public void testAborted(ExtensionContext test, Throwable cause) {
        append(test, "skipped");
    }

    @Override
    public void testDisabled(ExtensionContext test, Optional<String> reason) {
        append(test, "skipped");
    }

    private static void append(ExtensionContext test, String outcome) {
        TreeSet<String> cases = new TreeSet<>();
        Stream.of(test.getTestMethod(), test.getTestClass())
                .flatMap(Optional::stream)
                .map(AnnotatedElement.class::cast)
                .map(element -> element.getAnnotation(FaultCase.class))
                .filter(found -> found != null)
                .forEach(found -> cases.addAll(List.of(found.value())));
        String name = test.getRequiredTestClass().getSimpleName() + "."
                + test.getTestMethod().map(method -> method.getName()).orElse("*");
        cases.forEach(each -> append(each + "\t" + outcome + "\t" + name));
    }

    private static void append(String line) {
        try {
            Files.createDirectories(DIRECTORY);
            Files.writeString(
                    DIRECTORY.resolve(ProcessHandle.current().pid() + ".tsv"),
                    line + "\n",
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
