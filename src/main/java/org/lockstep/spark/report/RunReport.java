package org.lockstep.spark.report;

import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.ToLongFunction;
import org.lockstep.topology.ParallelSizes;

/**
 * How a run went.
 *
 * @param rows of the input and the output
 * @param rowsKept of those, answered by earlier attempts or runs; what follows of tokens and time is without them
 * @param attempts that this run took
 * @param rowsFailed of all, with an error
 * @param promptTokens of the rows answered
 * @param cachedTokens found in the cache instead of computed: beginnings that prompts share, and rows resumed
 * @param outputTokens generated
 * @param preemptions rows put off because the cache was full, and computed again
 * @param drawnSeed of the random numbers, where the call gave none and rows are sampled: with it the same run gives the same texts
 * @param elapsed of the whole call, Spark's part included
 * @param each what a rank was to compute with
 * @param ranks by rank; empty when there were no rows
 */
public record RunReport(
        long rows,
        long rowsKept,
        int attempts,
        long rowsFailed,
        long promptTokens,
        long cachedTokens,
        long outputTokens,
        long preemptions,
        OptionalLong drawnSeed,
        Duration elapsed,
        ParallelSizes sizes,
        String each,
        List<RankReport> ranks) {

    public RunReport {
        ranks = ranks.stream().sorted(Comparator.comparingInt(RankReport::rank)).toList();
    }

    /** Of a run without rows, which launches nothing. */
    public static RunReport ofNothing(ParallelSizes sizes, String each, long start) {
        return new RunReport(
                0,
                0,
                1,
                0,
                0,
                0,
                0,
                0,
                OptionalLong.empty(),
                Duration.ofNanos(System.nanoTime() - start),
                sizes,
                each,
                List.of());
    }

    /** Output tokens per second of generating: the slowest rank's time, without Spark, meeting and loading. */
    public double tokensPerSecond() {
        long nanos = longest(RankReport::generateNanos);
        return nanos == 0 ? 0 : outputTokens / (nanos / 1e9);
    }

    /** The part of the ranks' generating time that was spent inside collective operations, 0 to 1. */
    public double collectiveShare() {
        return Math.min(1, share(RankReport::collectiveNanos)); // small operations are timed by samples
    }

    /**
     * The measured pipeline bubble, 0 to 1: the part of the ranks' generating time in which they had no batch to compute;
     * what they waited for requests, plans and tokens is in it.
     */
    public double bubble() {
        return 1 - share(RankReport::computeNanos);
    }

    private double share(ToLongFunction<RankReport> part) {
        long all = ranks.stream().mapToLong(RankReport::generateNanos).sum();
        return all == 0 ? 0 : (double) ranks.stream().mapToLong(part).sum() / all;
    }

    /** The longest time that a rank spent on something, in nanoseconds. */
    public long longest(ToLongFunction<RankReport> what) {
        return ranks.stream().mapToLong(what).max().orElse(0);
    }

    /** Whether all ranks had their groups and weights from the run before. */
    public boolean stayed() {
        return !ranks.isEmpty() && ranks.stream().allMatch(RankReport::stayed);
    }

    /** The rank that others waited for, if there is one. */
    public Optional<Straggler> straggler() {
        return Straggler.of(ranks);
    }

    /** One line. */
    @Override
    public String toString() {
        String world = ranks.isEmpty()
                ? "no rank was launched"
                : String.format(
                        Locale.ROOT,
                        "%d ranks (tensor %d × pipeline %d × data %d, %s), %.0f%% of it in collectives%s; met in %.2f s,"
                                + (stayed() ? " stayed loaded" : " connected in %.0f ms, loaded in %.2f s"),
                        ranks.size(),
                        sizes.tp(),
                        sizes.pp(),
                        sizes.dp(),
                        each,
                        100 * collectiveShare(),
                        sizes.pp() == 1 ? "" : String.format(Locale.ROOT, ", %.0f%% bubble", 100 * bubble()),
                        longest(RankReport::meetingNanos) / 1e9,
                        longest(RankReport::connectNanos) / 1e6,
                        longest(RankReport::loadNanos) / 1e9);
        return String.format(
                Locale.ROOT,
                "%,d rows (%,d with errors%s), %,d prompt%s + %,d output tokens%s in %.1f s%s, %,.0f tokens/s%s; %s%s",
                rows,
                rowsFailed,
                rowsKept == 0 ? "" : String.format(Locale.ROOT, ", %,d from before", rowsKept),
                promptTokens,
                cachedTokens == 0 ? "" : String.format(Locale.ROOT, " (%,d shared)", cachedTokens),
                outputTokens,
                preemptions == 0 ? "" : String.format(Locale.ROOT, " (%,d rows put off)", preemptions),
                elapsed.toMillis() / 1e3,
                attempts > 1 ? String.format(Locale.ROOT, " and %d attempts", attempts) : "",
                tokensPerSecond(),
                drawnSeed.isPresent() ? ", seed " + drawnSeed.getAsLong() : "",
                world,
                straggler().map(rank -> "; " + rank).orElse(""));
    }
}
