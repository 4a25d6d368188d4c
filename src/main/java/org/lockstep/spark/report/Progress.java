package org.lockstep.spark.report;

import java.time.Duration;
import java.util.Locale;

/**
 * How far a run is, as the driver knows it: some seconds old, since Spark's executors report with their heartbeats
 * ({@code spark.executor.heartbeatInterval}).
 *
 * @param bytesLoaded of the weights, by all ranks together; 0 where they stayed loaded
 * @param bytesToLoad about, over all replicas
 * @param rows of the input that were not answered before
 * @param rowsDone finished rows, those with errors included
 * @param promptTokens of the rows done
 * @param outputTokens generated so far
 * @param replicas in all
 * @param replicasAtWork those that have put out tokens
 * @param elapsed since the call
 */
public record Progress(
        long bytesLoaded,
        long bytesToLoad,
        long rows,
        long rowsDone,
        long promptTokens,
        long outputTokens,
        int replicas,
        int replicasAtWork,
        Duration elapsed) {
    /** Whether no row is done and no token generated: ranks meet, connect and load. */
    public boolean starting() {
        return rowsDone == 0 && outputTokens == 0;
    }

    /** The part of the weights that is loaded, 0 to 1, while the run is {@link #starting}; 1 after that. */
    public double loaded() {
        return starting() ? Math.min(1, bytesLoaded / (double) Math.max(1, bytesToLoad)) : 1;
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

    /** One line: {@code 1,250 of 5,000 rows, 60,000 tokens, 2,000 tokens/s, 4 of 4 replicas, 1:30 left}. */
    @Override
    public String toString() {
        if (starting() && bytesLoaded == 0) {
            return String.format(
                    Locale.ROOT,
                    "starting %,d %s for %,d rows",
                    replicas,
                    replicas == 1 ? "replica" : "replicas",
                    rows);
        }
        if (starting() && loaded() < 1) {
            return String.format(Locale.ROOT, "loading %.0f %%", Math.floor(100 * loaded()));
        }
        return String.format(
                        Locale.ROOT,
                        "%,d of %,d rows, %,d tokens, %,.0f tokens/s",
                        rowsDone,
                        rows,
                        outputTokens,
                        tokensPerSecond())
                + (replicas == 1 ? "" : String.format(Locale.ROOT, ", %,d of %,d replicas", replicasAtWork, replicas))
                + (rowsDone == 0 || rowsDone == rows ? "" : ", " + clock(left()) + " left");
    }

    private static String clock(Duration left) {
        return left.toHours() > 0
                ? String.format(Locale.ROOT, "%d:%02d:%02d", left.toHours(), left.toMinutesPart(), left.toSecondsPart())
                : String.format(Locale.ROOT, "%d:%02d", left.toMinutes(), left.toSecondsPart());
    }
}
