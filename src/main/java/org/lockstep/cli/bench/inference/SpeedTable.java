package org.lockstep.cli.bench.inference;

import java.io.PrintWriter;
import java.util.Locale;
import java.util.function.Consumer;
import org.lockstep.cli.bench.inference.Speed.MemoryUse;
import org.lockstep.cli.bench.inference.Speed.Percentiles;

/** Speeds as a table for people, a row for each test. Confined to one thread at a time. */
public final class SpeedTable implements Consumer<Speed> {
    private static final String HEADING = "# %9s  %5s  %6s  %10s  %10s  %9s  %9s  %9s  %9s  %7s  %7s  %7s";
    private static final double MILLI = 1e6;

    private final PrintWriter out;
    private boolean started;

    /** A table under a line that says what is measured. */
    public SpeedTable(PrintWriter out, String title) {
        this.out = out;
        out.println("# " + title);
    }

    @Override
    public void accept(Speed each) {
        if (!started) {
            started = true;
            header();
        }
        MemoryUse memory = each.memory();
        out.println(line(
                        "  %9s  %5d  %6d  %10s  %10s",
                        each.test(),
                        each.batch(),
                        each.depth(),
                        rate(each.tokensPerSecond()),
                        rate(each.bestTokensPerSecond()))
                + line(
                        "  %9s  %9s  %9s  %9s",
                        each.firstToken().isNone()
                                ? "-"
                                : millis(each.firstToken().p50()),
                        percentile(each.interToken(), each.interToken().p50()),
                        percentile(each.interToken(), each.interToken().p90()),
                        percentile(each.interToken(), each.interToken().p99()))
                + line(
                        "  %6.1f%%  %6.1f%%  %6.1f%%",
                        100 * each.shares().kernels(),
                        100 * each.shares().collectives(),
                        100 * each.shares().waiting())
                + (memory == null
                        ? ""
                        : line(
                                "  %s + %s + %s",
                                mebi(memory.weights()), mebi(memory.cache()), mebi(memory.activations()))));
        out.flush();
    }

    private void header() {
        out.println(line(
                        HEADING, "test", "batch", "depth", "median", "best", "ttft", "itl p50", "p90", "p99", "kernels",
                        "groups", "waiting")
                + "  memory of a rank, MiB:");
        out.println(line(HEADING, "", "", "", "(tok/s)", "(tok/s)", "(ms)", "(ms)", "(ms)", "(ms)", "", "", "")
                + "  weights + cache + activations");
    }

    private static String percentile(Percentiles of, double nanos) {
        return of.isNone() ? "-" : millis(nanos);
    }

    private static String millis(double nanos) {
        return line(nanos < 100 * MILLI ? "%.2f" : "%.0f", nanos / MILLI);
    }

    private static String rate(double tokens) {
        return line(tokens < 100 ? "%.2f" : tokens < 10_000 ? "%.1f" : "%.0f", tokens);
    }

    private static String mebi(long bytes) {
        return line(bytes < 100 << 20 ? "%.1f" : "%.0f", bytes / 1048576.0);
    }

    private static String line(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }
}
