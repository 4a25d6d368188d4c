package org.lockstep.spark.report;

import java.io.PrintStream;
import java.time.Duration;
import java.util.function.Consumer;

/**
 * Progress where lines stay, the output of a notebook's cell or a log: a line for each twentieth of the rows, or after half a
 * minute without one, and never more than one a second.
 *
 * <pre>{@code
 * llm.onProgress(ProgressLines.to(System.out)).generate(rows, "prompt", params);
 * }</pre>
 *
 * <p>It keeps the stream it was given: a notebook binds its output to the thread of the cell, and progress comes on others.
 * Thread-safe.
 */
public final class ProgressLines implements Consumer<Progress> {
    private static final Duration LEAST = Duration.ofSeconds(1);
    private static final Duration MOST = Duration.ofSeconds(30);
    private static final int PARTS = 20;

    private final PrintStream out;
    private int part;
    private Duration last = Duration.ZERO;

    private ProgressLines(PrintStream out) {
        this.out = out;
    }

    /** To this stream; in Scala {@code Console.out}. */
    public static ProgressLines to(PrintStream out) {
        return new ProgressLines(out);
    }

    @Override
    public synchronized void accept(Progress progress) {
        boolean begins = progress.starting() && progress.bytesLoaded() == 0;
        Duration since = progress.elapsed().minus(last);
        int reached = (int) (PARTS * (progress.loaded() + progress.rowsDone() / (double) progress.rows()));
        boolean ends = progress.rowsDone() == progress.rows();
        boolean further = reached > part && (ends || since.compareTo(LEAST) >= 0);
        if (begins || further || since.compareTo(MOST) >= 0) {
            out.println(progress);
            part = reached;
            last = progress.elapsed();
        }
    }
}
