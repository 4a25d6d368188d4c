package org.lockstep.spark.report;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * The rank that others waited for: its own kernels took much longer than the median rank's. Immutable.
 *
 * @param rank in the world
 * @param host where it ran
 * @param ofTheMedian its own work, as a multiple of the median rank's
 * @param medianWait how much longer than itself the median of the other ranks was inside collective operations, in nanoseconds
 * @param longestWait the most of any other rank
 */
public record Straggler(int rank, String host, double ofTheMedian, long medianWait, long longestWait) {
    /** Less is what ranks differ by that have parts of unequal size, such as the last pipeline stage. */
    private static final double MUCH = 1.5;

    /** Less of the generating time is not worth a word, and less work of one's own may be none: small operations are timed by samples. */
    private static final double NOTEWORTHY = 0.05;

    /** Of these ranks, if there is one. */
    static Optional<Straggler> of(List<RankReport> ranks) {
        List<RankReport> slowestFirst = ranks.stream()
                .sorted(Comparator.comparingLong(RankReport::ownNanos).reversed())
                .toList();
        if (slowestFirst.size() < 2) {
            return Optional.empty();
        }
        RankReport slowest = slowestFirst.get(0);
        long median = Math.max(1, slowestFirst.get(slowestFirst.size() / 2).ownNanos());
        long[] waits = slowestFirst.stream()
                .skip(1)
                .mapToLong(other -> Math.max(0, other.collectiveNanos() - slowest.collectiveNanos()))
                .sorted()
                .toArray();
        Straggler found = new Straggler(
                slowest.rank(),
                slowest.host(),
                (double) slowest.ownNanos() / median,
                waits[waits.length / 2],
                waits[waits.length - 1]);
        double noteworthy = NOTEWORTHY * slowest.generateNanos();
        return found.ofTheMedian >= MUCH && median >= noteworthy && found.medianWait >= noteworthy
                ? Optional.of(found)
                : Optional.empty();
    }

    /** As the last words of a run's summary. */
    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "rank %d on %s was slow: %.1f times the median rank's own work, for which the others waited %.1f s (median),"
                        + " %.1f s (longest)",
                rank,
                host,
                ofTheMedian,
                medianWait / 1e9,
                longestWait / 1e9);
    }
}
