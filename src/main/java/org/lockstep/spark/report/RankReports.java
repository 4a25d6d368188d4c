package org.lockstep.spark.report;

import java.util.List;
import java.util.Locale;
import java.util.stream.LongStream;

/**
 * The reports of a stage's ranks, in the order in which they came. Immutable. Its text is for Spark's stage page and event log, which
 * show an accumulator by it.
 */
public record RankReports(List<RankReport> ranks) {
    public RankReports {
        ranks = List.copyOf(ranks);
    }

    private LongStream generating() {
        return ranks.stream().mapToLong(RankReport::generateNanos);
    }

    /** One line: {@code 4 ranks, 4.1 to 4.2 s each, 79 % in collectives}. */
    @Override
    public String toString() {
        if (ranks.isEmpty()) {
            return "none yet";
        }
        long collective = ranks.stream().mapToLong(RankReport::collectiveNanos).sum();
        double shortest = generating().min().orElse(0) / 1e9;
        double longest = generating().max().orElse(0) / 1e9;
        String share = String.format(
                Locale.ROOT,
                "%.0f %% in collectives",
                Math.min(
                        100,
                        100.0 * collective / Math.max(1, generating().sum()))); // small operations are timed by samples
        return ranks.size() == 1
                ? String.format(
                        Locale.ROOT,
                        "rank %d on %s, %.1f s, %s",
                        ranks.get(0).rank(),
                        ranks.get(0).host(),
                        longest,
                        share)
                : String.format(
                        Locale.ROOT, "%d ranks, %.1f to %.1f s each, %s", ranks.size(), shortest, longest, share);
    }
}
