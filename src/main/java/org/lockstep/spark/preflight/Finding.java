package org.lockstep.spark.preflight;

import java.util.Collection;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * One thing that a look before the launch has found. Immutable.
 *
 * @param level whether it ends the launch
 * @param code of the error that it is, or would become
 * @param sentence with the numbers in it
 * @param line what to set or do
 */
public record Finding(Level level, ErrorCode code, String sentence, String line) {
    /** How much it matters. */
    public enum Level {
        /** It cannot run. */
        FAIL,
        /** It runs, and not as one would wish. */
        WARN,
        /** It runs well; good to know. */
        NOTE,
        /** It is as it should be. */
        OK
    }

    public static Finding fail(ErrorCode code, String sentence, String line) {
        return new Finding(Level.FAIL, code, sentence, line);
    }

    public static Finding warn(ErrorCode code, String sentence, String line) {
        return new Finding(Level.WARN, code, sentence, line);
    }

    static Finding note(ErrorCode code, String sentence, String line) {
        return new Finding(Level.NOTE, code, sentence, line);
    }

    /** Nothing is wrong; {@code code} is what it would be. */
    public static Finding ok(ErrorCode code, String sentence) {
        return new Finding(Level.OK, code, sentence, "");
    }

    /** The same, with the name of where it was found. */
    Finding at(String where) {
        return new Finding(level, code, where + ": " + sentence, line);
    }

    /** What was refused elsewhere, as a finding. */
    public static Finding of(LockstepException refusal) {
        return new Finding(Level.FAIL, refusal.code(), refusal.summary(), refusal.advice());
    }

    /** Whether one of them ends a launch. */
    public static boolean anyFails(Collection<Finding> found) {
        return found.stream().anyMatch(finding -> finding.level == Level.FAIL);
    }

    /** As the error that ends a launch. */
    LockstepException exception() {
        LockstepException.Report report = LockstepException.report(code, sentence);
        return (line.isEmpty() ? report : report.attempt(line)).exception();
    }

    /** Two lines, in the form of our errors; one where nothing is wrong. */
    @Override
    public String toString() {
        return level == Level.OK
                ? "OK    " + sentence
                : level + "  " + code.label() + "  " + sentence + (line.isEmpty() ? "" : "\n  try     : " + line);
    }
}
