package org.lockstep.cli;

import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.spark.Llm;
import picocli.CommandLine.Option;

/** The options of what becomes of a run when something fails. */
@OptionGroup("When something fails")
final class FailureOptions {
    @Option(
            names = "--checkpoint-dir",
            paramLabel = "DIR",
            description =
                    "Where finished rows are kept until the output is written, on a file system that all executors"
                            + " share. Default: a directory of the run alone, named when the run does not end well.")
    private @Nullable String checkpointDir;

    @Option(
            names = "--resume",
            description =
                    "Go on with the unfinished run of the same command in --checkpoint-dir: only rows that are not"
                            + " there are generated. Where nothing is there the run begins.")
    private boolean resume;

    @Option(
            names = "--attempts",
            paramLabel = "N",
            description = "How often to try in all, where executors or peers are lost (default: 3).")
    private @Nullable Integer attempts;

    @Option(
            names = "--on-row-error",
            paramLabel = "WHAT",
            description = "A row that cannot be answered: keep it with its error, or fail the run (default: keep).")
    private @Nullable OnRowError onRowError;

    /** What becomes of a row that cannot be answered. */
    enum OnRowError {
        KEEP,
        FAIL
    }

    FailureRequest request() {
        if (attempts != null && attempts < 1) {
            throw new IllegalArgumentException("attempts (" + attempts + ") must be at least 1");
        }
        return new FailureRequest(
                checkpointDir,
                resume,
                attempts == null ? OptionalInt.empty() : OptionalInt.of(attempts),
                onRowError == null ? null : onRowError == OnRowError.FAIL);
    }

    /**
     * What was asked for.
     *
     * @param checkpointDir where finished rows are kept, null for the configuration's
     * @param resume whether to go on with what is there; false for the configuration's
     * @param attempts in all, where given
     * @param failOnRowError whether a row's error ends the run, null for the configuration's
     */
    record FailureRequest(
            @Nullable String checkpointDir,
            boolean resume,
            OptionalInt attempts,
            @Nullable Boolean failOnRowError) {

        Llm apply(Llm to) {
            Llm llm = checkpointDir == null ? to : to.checkpointDir(checkpointDir);
            llm = resume ? llm.resume(true) : llm;
            llm = attempts.isPresent() ? llm.attempts(attempts.getAsInt()) : llm;
            return failOnRowError == null ? llm : llm.failOnRowError(failOnRowError);
        }
    }
}
