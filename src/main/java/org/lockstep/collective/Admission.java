package org.lockstep.collective;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * How long the operation that is under way has been so, as somebody sees it who looks now and then: operations themselves do
 * not read the clock. {@link #begin} belongs to the thread that is inside, {@link #isOver} to the one that looks.
 */
final class Admission {
    /** What one pause between two looks counts at most: while the whole JVM was frozen nobody could go on. */
    private static final long LONGEST_LOOK = TimeUnit.SECONDS.toNanos(1);

    private final AtomicLong number = new AtomicLong();
    private Duration limit = Duration.ZERO; // of that number

    private long seen = -1;
    private long lookedAt;
    private long under;

    /** Another operation begins. */
    void begin(Duration deadline) {
        limit = deadline;
        number.lazySet(number.getPlain() + 1);
    }

    /**
     * Whether the same operation has been under way for longer than its deadline.
     *
     * @param underWay whether one is
     * @param grace in which a wait that looks at its deadline ends by itself
     */
    boolean isOver(boolean underWay, Duration grace) {
        long now = System.nanoTime();
        long current = number.getAcquire();
        if (!underWay || current != seen) {
            seen = current;
            under = 0;
        } else {
            under += Math.min(now - lookedAt, LONGEST_LOOK);
        }
        lookedAt = now;
        return under - grace.toNanos() > limit.toNanos();
    }

    /** Of the operation under way. */
    Duration limit() {
        return limit;
    }
}
