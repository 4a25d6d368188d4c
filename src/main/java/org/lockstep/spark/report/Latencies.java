package org.lockstep.spark.report;

import java.io.Serial;
import java.io.Serializable;
import org.HdrHistogram.Histogram;

/**
 * How long rows waited for their tokens, as histograms of microseconds with an error of 1 %.
 *
 * <p>Mutable; confined to one thread.
 */
public final class Latencies implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    private static final int DIGITS = 2;

    private final Histogram firstToken = new Histogram(DIGITS);
    private final Histogram betweenTokens = new Histogram(DIGITS);

    public Latencies() {
        firstToken.setAutoResize(true);
        betweenTokens.setAutoResize(true);
    }

    /** A row had its first token so long after a replica took it. */
    void firstToken(long nanos) {
        firstToken.recordValue(nanos / 1000);
    }

    /** A row had another token so long after the one before. */
    void nextToken(long nanos) {
        betweenTokens.recordValue(nanos / 1000);
    }

    /** Adds what another rank saw. */
    public void add(Latencies other) {
        firstToken.add(other.firstToken);
        betweenTokens.add(other.betweenTokens);
    }

    /** Rows that had a first token. */
    public long rows() {
        return firstToken.getTotalCount();
    }

    /** Tokens that all rows had. */
    public long tokens() {
        return firstToken.getTotalCount() + betweenTokens.getTotalCount();
    }

    /** Milliseconds from when a replica took a row to the row's first token, of this percentile, 0 to 100; 0 without rows. */
    public double firstTokenMillis(double percentile) {
        return millis(firstToken, percentile);
    }

    /** Milliseconds between two tokens of a row, likewise. */
    public double betweenTokensMillis(double percentile) {
        return millis(betweenTokens, percentile);
    }

    private static double millis(Histogram histogram, double percentile) {
        return histogram.getTotalCount() == 0 ? 0 : histogram.getValueAtPercentile(percentile) / 1e3;
    }
}
