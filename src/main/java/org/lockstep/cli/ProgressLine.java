package org.lockstep.cli;

import java.io.PrintWriter;
import java.time.Duration;
import java.util.Locale;
import java.util.function.Consumer;
import org.lockstep.spark.report.Progress;

/** One line of a terminal that is rewritten while a run goes on. Thread-safe: Spark calls it from a thread of its own. */
final class ProgressLine implements Consumer<Progress>, AutoCloseable {
    private static final String REWRITE = "\r\u001b[K";

    private final PrintWriter terminal;
    private boolean shown;
    private boolean closed;

    ProgressLine(PrintWriter terminal) {
        this.terminal = terminal;
    }

    @Override
    public synchronized void accept(Progress progress) {
        if (!closed) {
            terminal.print(REWRITE + text(progress));
            terminal.flush();
            shown = true;
        }
    }

    static String text(Progress progress) {
        if (progress.bytesLoaded() > 0 && progress.loaded() < 1) {
            return String.format(Locale.ROOT, "loading %.0f %%", Math.floor(100 * progress.loaded()));
        }
        String rows = String.format(
                Locale.ROOT,
                "%,d of %,d rows, %,d tokens, %,.0f tokens/s",
                progress.rowsDone(),
                progress.rows(),
                progress.outputTokens(),
                progress.tokensPerSecond());
        return progress.rowsDone() == 0 ? rows : rows + ", " + clock(progress.left()) + " left";
    }

    private static String clock(Duration left) {
        return left.toHours() > 0
                ? String.format(Locale.ROOT, "%d:%02d:%02d", left.toHours(), left.toMinutesPart(), left.toSecondsPart())
                : String.format(Locale.ROOT, "%d:%02d", left.toMinutes(), left.toSecondsPart());
    }

    /** Clears the line; what comes later is not shown. */
    @Override
    public synchronized void close() {
        closed = true;
        if (shown) {
            terminal.print(REWRITE);
            terminal.flush();
        }
    }
}
