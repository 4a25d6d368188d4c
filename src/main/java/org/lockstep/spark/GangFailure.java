package org.lockstep.spark;

import java.util.Arrays;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What a failed barrier stage was really about.
 *
 * <p>Spark hands the driver the first failed task's exception as text inside its own sentence; the code, the sentence and
 * the lines under it are taken from there.
 */
final class GangFailure {
    private static final Pattern REPORT =
            Pattern.compile("LOCKSTEP-(\\d{4}) [A-Z_]+ {2}(.*)((?:\\n {2}[a-z]{2,8} *: .*)*)");
    private static final Pattern THROWN = Pattern.compile("(?m)^((?:[a-z]\\w*\\.)+[A-Z]\\w*(?:Exception|Error)\\b.*)$");

    private GangFailure() {}

    /** A failure of one of our own kinds; whatever was thrown is its cause. */
    static LockstepException of(Throwable failure) {
        if (failure instanceof LockstepException ours) {
            return ours;
        }
        String text = String.valueOf(failure.getMessage());
        Matcher report = REPORT.matcher(text);
        if (report.find()) {
            return rebuild(report, failure);
        }
        Matcher thrown = THROWN.matcher(text);
        String what = thrown.find() ? thrown.group(1) : text.lines().findFirst().orElse(text);
        ErrorCode code = what.contains("OutOfMemoryError") ? ErrorCode.OUT_OF_MEMORY : ErrorCode.INTERNAL;
        return LockstepException.report(code, "a rank failed: " + what)
                .attempt("see the stack below and the log of that task's executor")
                .cause(failure)
                .exception();
    }

    private static LockstepException rebuild(Matcher found, Throwable failure) {
        int number = Integer.parseInt(found.group(1));
        Optional<ErrorCode> code = Arrays.stream(ErrorCode.values())
                .filter(known -> known.number() == number)
                .findAny();
        LockstepException.Report report = LockstepException.report(
                code.orElse(ErrorCode.INTERNAL), found.group(2).strip());
        for (String line : found.group(3).lines().filter(l -> !l.isBlank()).toList()) {
            int colon = line.indexOf(':');
            report = report.with(
                    line.substring(0, colon).strip(), line.substring(colon + 1).strip());
        }
        return report.cause(failure).exception();
    }
}
