package org.lockstep.cuda;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.launcher.listeners.SummaryGeneratingListener;

/**
 * Runs every test of the CUDA twin where there is a device but no Maven. Exit code 0 where none failed and some passed, 1 otherwise;
 * tests that were aborted, for want of what only the stand-in has, are counted, and told with the reason.
 */
final class DeviceTests {
    private DeviceTests() {}

    public static void main(String[] arguments) {
        LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
                .selectors(selectPackage("org.lockstep"))
                .filters(TagFilter.includeTags("cuda"))
                .build();
        SummaryGeneratingListener summary = new SummaryGeneratingListener();
        Lines lines = new Lines();
        LauncherFactory.create().execute(request, summary, lines);
        PrintWriter out = new PrintWriter(System.out, true, StandardCharsets.UTF_8);
        summary.getSummary().printFailuresTo(out, 20);
        lines.tellAborted(out);
        out.printf(
                "tests: %d passed, %d failed, %d aborted, %d skipped%n",
                summary.getSummary().getTestsSucceededCount(),
                summary.getSummary().getTotalFailureCount(),
                lines.abortedTests(),
                summary.getSummary().getTestsSkippedCount()
                        + summary.getSummary().getContainersSkippedCount());
        out.flush();
        System.exit(
                summary.getSummary().getTotalFailureCount() == 0
                                && summary.getSummary().getTestsSucceededCount() > 0
                        ? 0
                        : 1);
    }

    /** A line for each that failed or was skipped, as it happens; those that were aborted, by their reasons, in the end. */
    private static final class Lines implements TestExecutionListener {
        private final Map<String, List<String>> aborted = new TreeMap<>();

        synchronized int abortedTests() {
            return aborted.values().stream().mapToInt(List::size).sum();
        }

        synchronized void tellAborted(PrintWriter out) {
            aborted.forEach((reason, tests) -> {
                out.printf("aborted, %d: %s%n", tests.size(), reason);
                tests.forEach(test -> out.println("    " + test));
            });
        }

        @Override
        public void executionSkipped(TestIdentifier test, String reason) {
            System.out.println("skipped " + test.getDisplayName() + ": " + reason);
        }

        @Override
        public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
            String why = result.getThrowable().map(Throwable::toString).orElse("");
            switch (result.getStatus()) {
                case SUCCESSFUL -> {}
                case ABORTED ->
                    aborted.computeIfAbsent(why, reason -> new ArrayList<>()).add(test.getUniqueId());
                case FAILED -> System.out.println("failed " + test.getUniqueId() + ": " + why);
            }
        }
    }
}
