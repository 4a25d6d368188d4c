package org.lockstep;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A failure that speaks: its code, what happened, who, what was kept, what to try.
 *
 * <p>The message reads
 *
 * <pre>
 * LOCKSTEP-2003 COLLECTIVE_TIMEOUT  all_reduce #4711 sum bf16[4096] in tp[2]={4,5,6,7} not complete in 15.0 s
 *   culprit : rank 5  host gpu-b-2  executor 3
 *   try     : see executor 3's log
 * </pre>
 *
 * <p>Immutable. Subclasses only narrow the kind, never the form.
 */
public class LockstepException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final ErrorCode code;
    private final String summary;
    private final String advice;
    private final List<String> lines;

    protected LockstepException(Report report) {
        super(report.text(), report.cause);
        this.code = report.code;
        this.summary = report.summary;
        this.advice = report.advice();
        this.lines = report.lines;
    }

    /** Starts a report; {@code summary} is one sentence with the numbers in it. */
    public static Report report(ErrorCode code, String summary) {
        return new Report(code, summary, List.of(), null);
    }

    /** Starts a report that says what {@code known} says, to be added to, and has it for its cause. */
    public static Report report(LockstepException known) {
        return new Report(known.code, known.summary, known.lines, known);
    }

    public final ErrorCode code() {
        return code;
    }

    /** The first line without the code. */
    public final String summary() {
        return summary;
    }

    /** What the reader can change; empty if that is not known. */
    public final String advice() {
        return advice;
    }

    /** What is known of a failure before it is thrown. Immutable: each {@code with} returns another report. */
    public static final class Report {
        private static final String TRY = "try";

        private final ErrorCode code;
        private final String summary;
        private final List<String> lines;
        private final @Nullable Throwable cause;

        private Report(ErrorCode code, String summary, List<String> lines, @Nullable Throwable cause) {
            this.code = code;
            this.summary = summary;
            this.lines = lines;
            this.cause = cause;
        }

        public Report culprit(String who) {
            return with("culprit", who);
        }

        public Report waiting(String who) {
            return with("waiting", who);
        }

        public Report kept(String what) {
            return with("kept", what);
        }

        /** What the reader can change, as the line to set where there is one. */
        public Report attempt(String what) {
            return with(TRY, what);
        }

        /** Adds a line under a label of at most eight letters. */
        public Report with(String label, String value) {
            List<String> more = new ArrayList<>(lines);
            more.add(String.format("  %-8s: %s", label, value));
            return new Report(code, summary, List.copyOf(more), cause);
        }

        public Report cause(@Nullable Throwable because) {
            return new Report(code, summary, lines, because);
        }

        public LockstepException exception() {
            return new LockstepException(this);
        }

        private String advice() {
            String label = String.format("  %-8s: ", TRY);
            return lines.stream()
                    .filter(line -> line.startsWith(label))
                    .map(line -> line.substring(label.length()))
                    .findFirst()
                    .orElse("");
        }

        private String text() {
            String first = code.label() + "  " + summary;
            return lines.isEmpty() ? first : first + "\n" + String.join("\n", lines);
        }
    }
}
