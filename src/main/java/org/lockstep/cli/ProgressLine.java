package org.lockstep.cli;

import java.io.PrintWriter;
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
            terminal.print(REWRITE + progress);
            terminal.flush();
            shown = true;
        }
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
