package org.lockstep.spark.report;

import java.time.Duration;

/**
 * How far a run is, as the driver knows it: some seconds old, since Spark's executors report with their heartbeats.
 *
 * @param bytesLoaded of the weights, by all ranks together; 0 where they stayed loaded
 * @param bytesToLoad about, over all replicas
 * @param rows of the input
 * @param rowsDone finished rows, those with errors included
 * @param promptTokens of the rows done
 * @param outputTokens generated so far
 * @param elapsed since the call
 */
public record Progress(
        long bytesLoaded,
        long bytesToLoad,
        long rows,
        long rowsDone,
        long promptTokens,
        long outputTokens,
        Duration elapsed) {
    /** The part of the weights that is loaded, 0 to 1, while no row is done and no token generated; 1 after that. */
    public double loaded() {
        return rowsDone > 0 || outputTokens > 0 ? 1 : Math.min(1, bytesLoaded / (double) Math.max(1, bytesToLoad));
    }

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
