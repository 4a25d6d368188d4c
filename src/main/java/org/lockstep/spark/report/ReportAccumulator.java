package org.lockstep.spark.report;

import java.io.Serial;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.util.AccumulatorV2;

/**
 * The reports of ranks on their way to the driver. One of Spark's own lists would do, if Spark did not show its whole text on the
 * stage's page. Thread-safe.
 */
public final class ReportAccumulator extends AccumulatorV2<RankReport, RankReports> {
    @Serial
    private static final long serialVersionUID = 1;

    private final List<RankReport> ranks = new ArrayList<>();

    @Override
    public synchronized boolean isZero() {
        return ranks.isEmpty();
    }

    @Override
    public synchronized ReportAccumulator copy() {
        ReportAccumulator copy = new ReportAccumulator();
        copy.ranks.addAll(ranks);
        return copy;
    }

    @Override
    public synchronized void reset() {
        ranks.clear();
    }

    @Override
    public synchronized void add(RankReport report) {
        ranks.add(report);
    }

    @Override
    public void merge(AccumulatorV2<RankReport, RankReports> other) {
        List<RankReport> more = other.value().ranks();
        synchronized (this) {
            ranks.addAll(more);
        }
    }

    @Override
    public synchronized RankReports value() {
        return new RankReports(ranks);
    }
}
