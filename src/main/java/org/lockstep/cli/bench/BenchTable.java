package org.lockstep.cli.bench;

import java.io.PrintWriter;
import java.util.Locale;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Measurements as the table of nccl-tests: a row for each size, out of place and in place. Confined to one thread at a
 * time.
 */
public final class BenchTable implements Consumer<Measurement> {
    private static final String HEADING = "# %12s  %12s  %8s  %7s  %6s  %7s  %6s  %6s  %6s  %7s  %6s  %6s  %6s";
    private static final String ROW = "  %12d  %12d  %8s  %7s  %6d";

    private final PrintWriter out;
    private final Place place;
    private @Nullable Operation operation;
    private @Nullable Measurement left;
    private double busBandwidths;
    private int measured;
    private long wrong;

    /** A table on {@code out} of ranks that live at {@code place}. */
    public BenchTable(PrintWriter out, Place place) {
        this.out = out;
        this.place = place;
    }

    @Override
    public void accept(Measurement each) {
        if (each.operation() != operation) {
            end();
            operation = each.operation();
            header(each);
        }
        busBandwidths += each.busBandwidth();
        measured++;
        wrong += Math.max(0, each.wrong());
        if (each.inPlace()) {
            write(each, left, each);
            left = null;
        } else {
            flush();
            left = each; // until the one in place is there too
        }
    }

    private void flush() {
        if (left != null) {
            write(left, left, null);
            left = null;
        }
    }

    private void header(Measurement first) {
        busBandwidths = 0;
        measured = 0;
        wrong = 0;
        out.println("# " + first.operation().word() + "  ranks " + first.ranks() + "  place " + place.word()
                + "  transport " + first.transport());
        if (first.ranks() == 1) {
            out.println(
                    "# one rank has nobody to call: out of place is a copy in its device's memory, in place nothing");
        }
        out.println(line("# %62s  %-31s  %-31s", "", "out-of-place", "in-place"));
        out.println(line(
                HEADING, "size", "count", "type", "redop", "root", "time", "algbw", "busbw", "#wrong", "time", "algbw",
                "busbw", "#wrong"));
        out.println(line(
                HEADING,
                "(B)",
                "(elements)",
                "",
                "",
                "",
                "(us)",
                "(GB/s)",
                "(GB/s)",
                "",
                "(us)",
                "(GB/s)",
                "(GB/s)",
                ""));
    }

    private void write(Measurement each, @Nullable Measurement outOfPlace, @Nullable Measurement inPlace) {
        out.println(line(ROW, each.bytes(), each.count(), each.type(), each.redop(), each.root())
                + columns(outOfPlace)
                + columns(inPlace));
        out.flush();
    }

    private static String columns(@Nullable Measurement each) {
        if (each == null) {
            return line("  %7s  %6s  %6s  %6s", "N/A", "N/A", "N/A", "N/A");
        }
        return line(
                "  %7s  %6.2f  %6.2f  %6s",
                time(each.medianNanos() / 1000),
                each.algorithmBandwidth(),
                each.busBandwidth(),
                each.wrong() < 0 ? "N/A" : Long.toString(each.wrong()));
    }

    /** Three digits or more, as nccl-tests has them. */
    private static String time(double micros) {
        return line(micros < 100 ? "%.2f" : micros < 10_000 ? "%.1f" : "%.0f", micros);
    }

    /** Writes what stands below a table; nothing where there is none. */
    public void end() {
        if (operation == null) {
            return;
        }
        flush();
        out.println("# Wrong elements    : " + wrong + (wrong == 0 ? " OK" : " FAILED"));
        out.println(line("# Avg bus bandwidth : %.4f", busBandwidths / measured));
        out.println("#");
        out.flush();
        operation = null;
    }

    private static String line(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }
}
