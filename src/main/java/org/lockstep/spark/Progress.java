package org.lockstep.spark;

import java.time.Duration;

/**
 * How far a run is, as the driver knows it: some seconds old, since Spark's executors report with their heartbeats.
 *
 * @param rows of the input
 * @param rowsDone finished rows, those with errors included
 * @param promptTokens of the rows done
 * @param outputTokens generated so far
 * @param elapsed since the call
 */
public record Progress(long rows, long rowsDone, long promptTokens, long outputTokens, Duration elapsed) {
    /** Generated tokens per second so far. */
    public double tokensPerSecond() {
        return outputTokens / Math.max(1e-9, elapsed.toNanos() / 1e9);
    }

    /** What is left at the pace so far; zero before the first row. */
    public Duration left() {
        return rowsDone == 0
                ? Duration.ZERO
                : elapsed.multipliedBy(rows - rowsDone).dividedBy(rowsDone);
    }
}
