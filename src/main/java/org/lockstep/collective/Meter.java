package org.lockstep.collective;

import java.util.concurrent.atomic.AtomicLong;

/**
 * What went through one communicator by one operation: written by the thread that is inside, read by any.
 *
 * <p>Of operations with fewer than 4 KiB the first 16 are timed, and then one in 16, which speaks for the others: reading the
 * clock twice is a tenth of what they take. The first wait for whoever came late, and speak for themselves only.
 */
final class Meter {
    private static final int SAMPLE = 16;

    private static final long SMALL_BYTES = 4096;

    private final AtomicLong operations = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong nanos = new AtomicLong(); // of those that speak for themselves
    private final AtomicLong small = new AtomicLong();
    private final AtomicLong sampled = new AtomicLong();
    private final AtomicLong sampledNanos = new AtomicLong();

    /** When an operation of so many bytes begins; 0 if it is not timed. */
    long begin(long size) {
        return size < SMALL_BYTES && small.getPlain() >= SAMPLE && small.getPlain() % SAMPLE != 0 ? 0 : now();
    }

    /** When an operation begins whose bytes say nothing about its time. */
    long beginTimed() {
        return now();
    }

    /** What {@link #begin} began is complete; when, 0 if it is not timed. */
    long end(long size, long start) {
        count(1, size);
        long end = start == 0 ? 0 : now();
        boolean speaksForItself = size >= SMALL_BYTES || small.getPlain() < SAMPLE;
        if (start != 0) {
            add(speaksForItself ? nanos : sampledNanos, end - start);
            add(sampled, speaksForItself ? 0 : 1);
        }
        add(small, size < SMALL_BYTES ? 1 : 0);
        return end;
    }

    /** As many operations, carried out together since {@link #beginTimed}, are complete; when. */
    long endTimed(int count, long size, long start) {
        count(count, size);
        long end = now();
        add(nanos, end - start);
        return end;
    }

    private void count(int count, long size) {
        add(operations, count);
        add(bytes, size);
    }

    private static void add(AtomicLong sum, long more) {
        sum.lazySet(sum.getPlain() + more); // one writer at a time: no read-modify-write is needed
    }

    private static long now() {
        long now = System.nanoTime();
        return now == 0 ? 1 : now;
    }

    Traffic traffic() {
        long timed = sampled.get();
        double smallNanos = timed == 0 ? 0 : (double) sampledNanos.get() / timed * (small.get() - SAMPLE);
        return new Traffic(operations.get(), bytes.get(), nanos.get() + (long) smallNanos);
    }
}
