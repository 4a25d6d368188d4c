package org.lockstep.spark;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.ToLongFunction;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.lockstep.LockstepException;
import org.lockstep.model.ModelConfig;
import org.lockstep.report.Chart;
import org.lockstep.report.Page;
import org.lockstep.spark.attempt.UnfinishedRunException;
import org.lockstep.spark.report.CollectiveTraffic;
import org.lockstep.spark.report.Latencies;
import org.lockstep.spark.report.RankReport;
import org.lockstep.spark.report.RunReport;
import org.lockstep.spark.report.Timeline;
import org.lockstep.topology.ProcessGrid;

/** Plans and runs as pages. */
final class ReportPage {
    private static final double SECOND = 1e9;
    private static final int POINTS = 60; // of a line, at most
    private static final Pattern CULPRIT = Pattern.compile("(?m)^ {2}culprit *: rank (\\d+)\\b");

    private ReportPage() {}

    /** A plan. */
    static String of(Plan plan) {
        ProcessGrid grid = plan.grid();
        ModelConfig config = plan.config();
        Page page = Page.titled(plan.model(), "Before anything is launched, on " + plan.master())
                .fact(count(grid.worldSize()), grid.worldSize() == 1 ? "rank" : "ranks")
                .fact(sizes(grid), "tensor × pipeline × data")
                .fact(count(config.layers()), "layers, hidden " + count(config.hiddenSize()))
                .fact(count(plan.options().maxSequences()), "rows at once, a replica")
                .fact(
                        count((long) plan.options().cacheBlocks()
                                * plan.options().blockSize()),
                        "positions in its cache");
        return machine(page, plan, List.of(), Set.of())
                .text("In words", "", plan.toString())
                .html();
    }

    /** A run of this plan that failed. */
    static String of(Plan plan, Throwable failure) {
        String message = String.valueOf(failure.getMessage());
        Set<Integer> culprits = CULPRIT.matcher(message)
                .results()
                .map(found -> Integer.valueOf(found.group(1)))
                .collect(Collectors.toCollection(TreeSet::new));
        Page page = Page.titled(
                plan.model() + ": the run failed",
                sizes(plan.grid()) + " ranks (tensor × pipeline × data) on " + plan.master());
        if (failure instanceof LockstepException known) {
            page.fact(known.code().name(), "what it ended with");
        }
        culprits.forEach(rank -> page.fact("rank " + rank, "to blame"));
        if (failure instanceof UnfinishedRunException unfinished) {
            page.fact(count(unfinished.committed()) + " of " + count(unfinished.rows()), "rows kept");
        }
        page.text(
                "What happened",
                "The first cause, who is to blame, what the others were doing, what is kept, and what to try.",
                failure instanceof LockstepException ? message : failure.toString());
        machine(page, plan, List.of(), culprits);
        return page.text("Where", "The stack of the first cause, and of what else failed.", stacks(failure))
                .html();
    }

    /** What our own exceptions tell in words is not told again: the stacks of what they are about. */
    private static String stacks(Throwable failure) {
        StringWriter stacks = new StringWriter();
        List<Throwable> beside = new ArrayList<>();
        Throwable first = failure;
        while (first instanceof LockstepException && first.getCause() != null) {
            beside.addAll(List.of(first.getSuppressed()));
            first = first.getCause();
        }
        first.printStackTrace(new PrintWriter(stacks, true));
        beside.forEach(other -> other.printStackTrace(new PrintWriter(stacks, true)));
        return stacks.toString();
    }

    private static Page machine(Page page, Plan plan, List<String> places, Set<Integer> marked) {
        return page.machine(
                "The machine",
                "A frame is a replica, a row a pipeline stage with its layers, a box a rank; the ranks of a row share each of its"
                        + " layers.",
                plan.grid(),
                plan.config().layers(),
                places,
                marked);
    }

    /** A run that has ended. */
    static String of(Plan plan, RunReport report) {
        List<RankReport> ranks = report.ranks();
        Page page = Page.titled(
                        plan.model() + ": " + count(report.rows()) + (report.rows() == 1 ? " row" : " rows"),
                        sizes(plan.grid()) + " ranks (tensor × pipeline × data) on " + plan.master())
                .fact(count(Math.round(report.tokensPerSecond())), "output tokens per second")
                .fact(count(report.outputTokens()), "output tokens")
                .fact(
                        count(report.promptTokens()),
                        "prompt tokens, " + count(report.cachedTokens()) + " from the cache")
                .fact(seconds(report.elapsed().toNanos()), "the whole call")
                .fact(percent(report.collectiveShare()), "of the ranks' time in collectives")
                .fact(percent(report.bubble()), "without a batch to compute (bubble)")
                .fact(count(report.rowsFailed()), "rows with errors");
        if (report.rowsKept() > 0) {
            page.fact(count(report.rowsKept()), "rows from before");
        }
        if (report.drawnSeed().isPresent()) {
            page.fact(Long.toString(report.drawnSeed().getAsLong()), "seed, drawn for this run");
        }
        if (report.attempts() > 1) {
            page.fact(count(report.attempts()), "attempts");
        }
        if (ranks.isEmpty()) {
            return page.html();
        }
        machine(page, plan, ranks.stream().map(RankReport::host).toList(), Set.of());
        page.chart(pace(ranks)).chart(phases(ranks)).chart(waits(ranks));
        latencies(page, ranks);
        page.chart(parts(ranks));
        stragglers(page, ranks);
        traffic(page, ranks);
        errors(page, ranks);
        return page.html();
    }

    private static Chart pace(List<RankReport> ranks) {
        long start = firstStart(ranks);
        List<Chart.Line> lines = ranks.stream()
                .filter(rank -> IntStream.range(0, rank.timeline().bins())
                        .anyMatch(bin -> rank.timeline().outputTokens(bin) > 0))
                .map(rank -> new Chart.Line("replica of rank " + rank.rank(), pace(rank.timeline(), start)))
                .toList();
        return new Chart.Lines(
                "Pace", "Output tokens per second of each replica.", "seconds", "tokens/s", false, lines);
    }

    private static List<Chart.Point> pace(Timeline timeline, long start) {
        double from = (timeline.startMillis() - start) / 1e3;
        int each = (timeline.bins() + POINTS - 1) / POINTS; // fewer tokens than this a bin are noise
        double width = each * timeline.width() / SECOND;
        return IntStream.range(0, timeline.bins() / each)
                .mapToObj(point -> {
                    long tokens = IntStream.range(point * each, (point + 1) * each)
                            .mapToLong(timeline::outputTokens)
                            .sum();
                    return new Chart.Point(from + (point + 0.5) * width, tokens / width);
                })
                .toList();
    }

    private static long firstStart(List<RankReport> ranks) {
        return ranks.stream()
                .mapToLong(rank -> rank.timeline().startMillis())
                .min()
                .orElse(0);
    }

    /** What each rank did from the start of its task, by the clock of the wall. */
    private static Chart phases(List<RankReport> ranks) {
        long start = ranks.stream().mapToLong(ReportPage::taskStart).min().orElse(0);
        List<Chart.Span> spans = new ArrayList<>();
        for (int row = 0; row < ranks.size(); row++) {
            RankReport rank = ranks.get(row);
            double at = (taskStart(rank) - start) / 1e3;
            at = span(spans, row, "meet", at, rank.meetingNanos());
            at = span(spans, row, "connect", at, rank.connectNanos());
            at = span(spans, row, "load", at, rank.loadNanos());
            span(spans, row, "generate", at, rank.generateNanos());
        }
        return new Chart.Timeline(
                "Time line",
                "From the start of a rank's task; hosts are as far apart as their clocks.",
                names(ranks),
                spans);
    }

    private static long taskStart(RankReport rank) {
        return rank.timeline().startMillis()
                - (rank.meetingNanos() + rank.connectNanos() + rank.loadNanos()) / 1_000_000;
    }

    private static double span(List<Chart.Span> spans, int row, String kind, double at, long nanos) {
        double end = at + nanos / SECOND;
        if (nanos > 0) {
            spans.add(new Chart.Span(row, kind, at, end));
        }
        return end;
    }

    private static List<String> names(List<RankReport> ranks) {
        return ranks.stream().map(rank -> "rank " + rank.rank()).toList();
    }

    private static Chart waits(List<RankReport> ranks) {
        long width =
                ranks.stream().mapToLong(rank -> rank.timeline().width()).max().orElse(1);
        List<List<Double>> shares =
                ranks.stream().map(rank -> waits(rank.timeline(), width)).toList();
        return new Chart.HeatMap(
                "Waiting",
                "The share of its time that a rank spent inside collectives, from the beginning of its generating: waiting for"
                        + " its tensor group, its neighbours in the pipeline, or its source's plan. A green row among red ones is"
                        + " the rank that the others wait for.",
                names(ranks),
                width / SECOND,
                shares);
    }

    /** In bins of this width, a multiple of the timeline's own. */
    private static List<Double> waits(Timeline timeline, long width) {
        int each = (int) (width / timeline.width());
        int bins = (timeline.bins() + each - 1) / each;
        return IntStream.range(0, bins)
                .mapToObj(bin -> {
                    long nanos = IntStream.range(bin * each, Math.min((bin + 1) * each, timeline.bins()))
                            .mapToLong(timeline::collectiveNanos)
                            .sum();
                    return Math.min(1, nanos / (double) width);
                })
                .toList();
    }

    private static void latencies(Page page, List<RankReport> ranks) {
        Latencies all = new Latencies();
        ranks.forEach(rank -> all.add(rank.latencies()));
        if (all.rows() == 0) {
            return;
        }
        List<Double> percentiles = List.of(50.0, 90.0, 99.0, 100.0);
        List<List<String>> rows = new ArrayList<>();
        List<String> first = new ArrayList<>(List.of("to the first token (TTFT)"));
        List<String> between = new ArrayList<>(List.of("between tokens (ITL)"));
        percentiles.forEach(percentile -> {
            first.add(millis(all.firstTokenMillis(percentile)));
            between.add(millis(all.betweenTokensMillis(percentile)));
        });
        rows.add(first);
        rows.add(between);
        page.table(
                "Latency",
                "From when a replica took a row, over " + count(all.rows()) + " rows, in milliseconds.",
                List.of("", "p50", "p90", "p99", "most"),
                rows);
    }

    private static Chart parts(List<RankReport> ranks) {
        return new Chart.Bars(
                "Where the time went",
                "Of the generating of each rank.",
                "s",
                names(ranks),
                List.of(
                        part("its own kernels and sampling", ranks, RankReport::ownNanos),
                        part("its tensor group", ranks, rank -> rank.computeNanos() - rank.ownNanos()),
                        part(
                                "no batch to compute",
                                ranks,
                                rank -> Math.max(0, rank.generateNanos() - rank.computeNanos()))));
    }

    private static Chart.Part part(String name, List<RankReport> ranks, ToLongFunction<RankReport> nanos) {
        return new Chart.Part(
                name,
                ranks.stream().map(rank -> nanos.applyAsLong(rank) / SECOND).toList());
    }

    /** Ranks whose own work takes longest; where others wait, they wait for these. */
    private static void stragglers(Page page, List<RankReport> ranks) {
        long[] sorted = ranks.stream().mapToLong(RankReport::ownNanos).sorted().toArray();
        long median = sorted[sorted.length / 2];
        List<List<String>> rows = ranks.stream()
                .sorted(Comparator.comparingLong(RankReport::ownNanos).reversed())
                .limit(5)
                .map(rank -> List.of(
                        "rank " + rank.rank(),
                        rank.host(),
                        seconds(rank.ownNanos()),
                        median == 0 ? "" : String.format(Locale.ROOT, "%.2f ×", (double) rank.ownNanos() / median),
                        percent(Math.min(1, rank.collectiveNanos() / (double) Math.max(1, rank.generateNanos())))))
                .toList();
        page.table(
                "Stragglers",
                "The ranks with the most work of their own, beside the median rank.",
                List.of("", "host", "own work", "of the median", "in collectives"),
                rows);
    }

    private static void traffic(Page page, List<RankReport> ranks) {
        List<CollectiveTraffic> all = CollectiveTraffic.of(ranks);
        if (all.isEmpty()) {
            return;
        }
        page.table(
                "Collectives",
                "What the ranks moved together: bytes of their own buffers, not of the wire. What a rank spends inside beyond the"
                        + " quickest of its group is waiting, at least. What is received counts as a send.",
                List.of(
                        "group",
                        "operation",
                        "ranks",
                        "calls",
                        "MiB",
                        "bytes a call",
                        "time inside",
                        "waiting",
                        "time a call"),
                all.stream().map(ReportPage::row).toList());
    }

    private static List<String> row(CollectiveTraffic traffic) {
        long calls = Math.max(1, traffic.operations());
        return List.of(
                traffic.kind().token(),
                traffic.operation().toString(),
                count(traffic.size()),
                count(traffic.operations()),
                String.format(Locale.ROOT, "%,.1f", traffic.bytes() / (double) (1 << 20)),
                bytes(traffic.bytes() / calls),
                seconds(traffic.nanos()),
                seconds(traffic.waitNanos()),
                each(traffic.nanos() / calls));
    }

    private static String bytes(long bytes) {
        return bytes < 10_240 ? count(bytes) + " B" : count(bytes >> 10) + " KiB";
    }

    private static void errors(Page page, List<RankReport> ranks) {
        SortedMap<String, Long> byCode = new TreeMap<>();
        ranks.forEach(rank -> rank.errors().forEach((code, rows) -> byCode.merge(code, rows, Long::sum)));
        if (!byCode.isEmpty()) {
            page.table(
                    "Errors",
                    "Rows that could not be answered; each carries the whole sentence in its column error.",
                    List.of("code", "rows"),
                    byCode.entrySet().stream()
                            .map(entry -> List.of(entry.getKey(), count(entry.getValue())))
                            .toList());
        }
    }

    private static String sizes(ProcessGrid grid) {
        return grid.sizes().tp() + " × " + grid.sizes().pp() + " × "
                + grid.sizes().dp();
    }

    private static String count(long number) {
        return String.format(Locale.ROOT, "%,d", number);
    }

    private static String seconds(long nanos) {
        return String.format(Locale.ROOT, nanos < 10 * SECOND ? "%.2f s" : "%,.1f s", nanos / SECOND);
    }

    private static String millis(double millis) {
        return String.format(Locale.ROOT, millis < 10 ? "%.2f" : "%,.1f", millis);
    }

    private static String each(long nanos) {
        return String.format(
                Locale.ROOT, nanos < 1_000_000 ? "%.1f µs" : "%,.1f ms", nanos / (nanos < 1_000_000 ? 1e3 : 1e6));
    }

    private static String percent(double share) {
        return String.format(Locale.ROOT, "%.0f %%", 100 * share);
    }
}
