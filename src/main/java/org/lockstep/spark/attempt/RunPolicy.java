package org.lockstep.spark.attempt;

import java.util.Optional;
import java.util.OptionalInt;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.settings.Settings;

/**
 * What a user set of how a run deals with failures; what is empty is left to the configuration, then to the default.
 *
 * @param attempts how many there are in all
 * @param checkpointDir where finished rows are kept
 * @param resume whether to go on with an unfinished run there
 * @param failOnRowError whether a row that cannot be answered ends the run
 */
public record RunPolicy(
        OptionalInt attempts,
        Optional<String> checkpointDir,
        Optional<Boolean> resume,
        Optional<Boolean> failOnRowError) {
    public static final RunPolicy NONE =
            new RunPolicy(OptionalInt.empty(), Optional.empty(), Optional.empty(), Optional.empty());

    public RunPolicy withAttempts(int value) {
        return new RunPolicy(OptionalInt.of(value), checkpointDir, resume, failOnRowError);
    }

    public RunPolicy withCheckpointDir(String value) {
        return new RunPolicy(attempts, Optional.of(value), resume, failOnRowError);
    }

    public RunPolicy withResume(boolean value) {
        return new RunPolicy(attempts, checkpointDir, Optional.of(value), failOnRowError);
    }

    public RunPolicy withFailOnRowError(boolean value) {
        return new RunPolicy(attempts, checkpointDir, resume, Optional.of(value));
    }

    /** All of it, none empty but a directory that nobody named. */
    public RunPolicy resolve(SparkConf conf) {
        int most = attempts.orElseGet(() -> Settings.ATTEMPTS.in(conf));
        if (most < 1) {
            throw LockstepException.report(ErrorCode.USAGE, "attempts (" + most + ") must be at least 1")
                    .exception();
        }
        boolean goOn = resume.orElseGet(() -> Settings.RESUME.in(conf));
        Optional<String> directory = checkpointDir.or(
                () -> Optional.of(Settings.CHECKPOINT_DIR.in(conf)).filter(set -> !set.equals("auto")));
        if (goOn && directory.isEmpty()) {
            throw LockstepException.report(
                            ErrorCode.USAGE, "to resume, but from where? there is no checkpoint directory")
                    .attempt("--checkpoint-dir DIR (" + Settings.CHECKPOINT_DIR.key() + ")")
                    .exception();
        }
        return new RunPolicy(
                OptionalInt.of(most),
                directory,
                Optional.of(goOn),
                Optional.of(failOnRowError.orElseGet(
                        () -> Settings.ROW_ERRORS.in(conf).equals("fail"))));
    }
}
