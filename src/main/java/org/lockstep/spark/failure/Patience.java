package org.lockstep.spark.failure;

import java.util.concurrent.TimeUnit;

/**
 * How much longer somebody waits for what others tell, who looks now and then. Not the clock's time alone: while this whole JVM stood
 * still nobody could tell it anything. Confined to one thread.
 */
final class Patience {
    /** What the time from one look to the next counts at most. */
    private static final long LONGEST_LOOK = TimeUnit.MILLISECONDS.toNanos(500);

    private long left;
    private long lookedAt;

    /** So much from {@code now}, on the clock of {@link System#nanoTime}. */
    Patience(long nanos, long now) {
        this.left = nanos;
        this.lookedAt = now;
    }

    /** Looks: what is left of it, in nanoseconds; nothing or less at its end. */
    long left(long now) {
        left -= Math.min(now - lookedAt, LONGEST_LOOK);
        lookedAt = now;
        return left;
    }
}
