package org.lockstep.spark.report;

import java.io.Serial;
import java.io.Serializable;
import java.util.Arrays;

/**
 * What a rank did when: time is cut into bins of equal width, which doubles whenever there would be more than
 * {@value #MOST_BINS}. So its size does not depend on how long the run takes.
 *
 * <p>Mutable, and confined to one thread, until it is sent.
 */
public final class Timeline implements Serializable {
    /** Bins at most. */
    static final int MOST_BINS = 240;

    @Serial
    private static final long serialVersionUID = 1;

    private static final long FIRST_WIDTH = 10_000_000; // 10 ms

    private final long startMillis;
    private final long start;
    private long width = FIRST_WIDTH;
    private int bins;
    private final long[] compute = new long[MOST_BINS];
    private final long[] collective = new long[MOST_BINS];
    private final long[] outputTokens = new long[MOST_BINS];

    /**
     * A timeline that begins now.
     *
     * @param startMillis now, by the clock of the wall: what the timelines of several hosts have in common
     * @param start now, by {@link System#nanoTime}
     */
    Timeline(long startMillis, long start) {
        this.startMillis = startMillis;
        this.start = start;
    }

    /** The rank computed, waits of its tensor group included, from {@code from} to {@code to}. */
    void computed(long from, long to) {
        spread(compute, from, to, to - from);
    }

    /** Of the time from {@code from} to {@code to} this much was spent in collectives. */
    void communicated(long from, long to, long nanos) {
        spread(collective, from, to, nanos);
    }

    /** At {@code at} the replica put out so many tokens. */
    void putOut(long at, long tokens) {
        outputTokens[bin(at)] += tokens;
    }

    private void spread(long[] into, long from, long to, long amount) {
        int last = bin(to);
        int first = bin(from);
        if (first == last || to <= from) {
            into[last] += amount;
            return;
        }
        long left = amount;
        for (int bin = first; bin < last; bin++) {
            long end = start + (bin + 1) * width;
            long begin = Math.max(from, end - width);
            long part = (long) ((double) amount * (end - begin) / (to - from));
            into[bin] += part;
            left -= part;
        }
        into[last] += left;
    }

    /** The bin of a time, for which there is room afterwards. */
    private int bin(long at) {
        long since = Math.max(0, at - start);
        while (since / width >= MOST_BINS) {
            fold(compute);
            fold(collective);
            fold(outputTokens);
            bins = (bins + 1) / 2;
            width *= 2;
        }
        int bin = (int) (since / width);
        bins = Math.max(bins, bin + 1);
        return bin;
    }

    private static void fold(long[] values) {
        for (int i = 0; i < MOST_BINS / 2; i++) {
            values[i] = values[2 * i] + values[2 * i + 1];
        }
        Arrays.fill(values, MOST_BINS / 2, MOST_BINS, 0);
    }

    /** When it begins, by the clock of the wall, in milliseconds. */
    public long startMillis() {
        return startMillis;
    }

    /** Width of a bin in nanoseconds. */
    public long width() {
        return width;
    }

    /** Bins in use. */
    public int bins() {
        return bins;
    }

    /** Nanoseconds of a bin in which the rank computed, waits of its tensor group included. */
    public long computeNanos(int bin) {
        return compute[bin];
    }

    /** Nanoseconds of a bin that the rank spent in collectives, waiting for peers included; about. */
    public long collectiveNanos(int bin) {
        return collective[bin];
    }

    /** Tokens that the replica put out in a bin; 0 on all ranks but its source. */
    public long outputTokens(int bin) {
        return outputTokens[bin];
    }
}
