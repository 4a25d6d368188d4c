package org.lockstep.spark.failure;

import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What a failed barrier stage was really about, where nothing but Spark's exception is known of it; {@link GangReport} knows
 * more.
 *
 * <p>Spark hands the driver the first failed task's exception as text inside its own sentence; the code, the sentence and
 * the lines under it are taken from there.
 */
public final class GangFailure {
    private static final Pattern REPORT =
            Pattern.compile("LOCKSTEP-(\\d{4}) [A-Z_]+ {2}(.*)((?:\\n {2}[a-z]{2,8} *: .*)*)");
    private static final Pattern THROWN = Pattern.compile("(?m)^((?:[a-z]\\w*\\.)+[A-Z]\\w*(?:Exception|Error)\\b.*)$");

    /** What a peer says that was aborted: it quotes the first cause, whose own rank may have been slower to end. */
    private static final Pattern ABORTED = Pattern.compile("aborted because of rank (\\d+): (.*)", Pattern.DOTALL);

    private static final Pattern QUOTED =
            Pattern.compile("LOCKSTEP-(\\d{4}) [A-Z_]+ {1,2}(.*?)(?: \\(try: (.*)\\))?", Pattern.DOTALL);

    private GangFailure() {}

    /** A failure of one of our own kinds; whatever was thrown is its cause. */
    public static LockstepException of(Throwable failure) {
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
        return foreign("a rank failed: " + what, failure);
    }

    /** Something that was thrown by code which knows nothing of our reports: a user's, Spark's or the JVM's. */
    private static LockstepException foreign(String what, Throwable failure) {
        ErrorCode code = codeOf(what);
        return LockstepException.report(code, what)
                .attempt(adviceOf(code))
                .cause(failure)
                .exception();
    }

    /** Of what is not of our kinds, by its name. */
    static ErrorCode codeOf(String what) {
        return what.contains("OutOfMemoryError") ? ErrorCode.OUT_OF_MEMORY : ErrorCode.INTERNAL;
    }

    static String adviceOf(ErrorCode code) {
        return code == ErrorCode.OUT_OF_MEMORY
                ? "more memory for the executors or the driver of a local master, or a smaller share a rank"
                : "see the stack below and the log of that task's executor";
    }

    private static LockstepException rebuild(Matcher found, Throwable failure) {
        ErrorCode code = code(found.group(1));
        String summary = found.group(2).strip();
        Matcher aborted = ABORTED.matcher(summary);
        if (code == ErrorCode.ABORTED && aborted.find()) {
            return first(Integer.parseInt(aborted.group(1)), aborted.group(2), failure);
        }
        LockstepException.Report report = LockstepException.report(code, summary);
        for (String line : found.group(3).lines().filter(l -> !l.isBlank()).toList()) {
            int colon = line.indexOf(':');
            report = report.with(
                    line.substring(0, colon).strip(), line.substring(colon + 1).strip());
        }
        return report.cause(failure).exception();
    }

    private static LockstepException first(int rank, String quoted, Throwable failure) {
        Matcher ours = QUOTED.matcher(quoted);
        if (!ours.matches()) {
            return foreign("rank " + rank + " failed: " + quoted, failure);
        }
        LockstepException.Report report =
                LockstepException.report(code(ours.group(1)), ours.group(2)).culprit("rank " + rank);
        return (ours.group(3) == null ? report : report.attempt(ours.group(3)))
                .cause(failure)
                .exception();
    }

    private static ErrorCode code(String number) {
        return Arrays.stream(ErrorCode.values())
                .filter(known -> known.number() == Integer.parseInt(number))
                .findAny()
                .orElse(ErrorCode.INTERNAL);
    }
}
