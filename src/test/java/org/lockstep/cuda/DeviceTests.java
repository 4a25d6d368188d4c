package org.lockstep.cuda;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.launcher.listeners.SummaryGeneratingListener;

/** Runs every test of the CUDA twin where there is a device but no Maven. Exit code 0 where all passed, 1 otherwise. */
final class DeviceTests {
    private DeviceTests() {}

    public static void main(String[] arguments) {
        LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
                .selectors(selectPackage("org.lockstep"))
                .filters(TagFilter.includeTags("cuda"))
                .build();
        SummaryGeneratingListener summary = new SummaryGeneratingListener();
        LauncherFactory.create().execute(request, summary, new Lines());
        PrintWriter out = new PrintWriter(System.out, true, StandardCharsets.UTF_8);
        summary.getSummary().printFailuresTo(out, 20);
        out.printf(
                "tests: %d passed, %d failed, %d skipped%n",
                summary.getSummary().getTestsSucceededCount(),
                summary.getSummary().getTotalFailureCount(),
                summary.getSummary().getTestsSkippedCount()
                        + summary.getSummary().getContainersSkippedCount());
        out.flush();
        System.exit(
                summary.getSummary().getTotalFailureCount() == 0
                                && summary.getSummary().getTestsSucceededCount() > 0
                        ? 0
                        : 1);
    }

    /** A line for each that did not pass, as it happens. */
    private static final class Lines implements TestExecutionListener {
        @Override
        public void executionSkipped(TestIdentifier test, String reason) {
            System.out.println("skipped " + test.getDisplayName() + ": " + reason);
        }

        @Override
        public void executionFinished(TestIdentifier test, TestExecutionResult result) {
            if (result.getStatus() != TestExecutionResult.Status.SUCCESSFUL) {
                System.out.println(result.getStatus() + " " + test.getUniqueId() + ": "
                        + result.getThrowable().map(Throwable::toString).orElse(""));
            }
        }
    }
}
