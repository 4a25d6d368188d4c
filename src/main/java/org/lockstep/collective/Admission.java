package org.lockstep.collective;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * How long the operation that is under way has been so, as somebody sees it who looks now and then: operations themselves do
 * not read the clock. {@link #begin} and {@link #extend} belong to the thread that is inside, {@link #overdue} to the one
 * that looks.
 */
final class Admission {
    private static final Duration LONGEST_LOOK = Duration.ofSeconds(1);

    private final AtomicLong number = new AtomicLong();

    /** Of this number and of the one before or after: a place is written again only when the number has moved on. */
    private final AtomicReferenceArray<Duration> limits =
            new AtomicReferenceArray<>(new Duration[] {Duration.ZERO, Duration.ZERO});

    private long seen = -1;
    private final WatchedTime under = new WatchedTime(LONGEST_LOOK, System.nanoTime());

    /** Another operation begins. */
    @SuppressWarnings("ReferenceEquality") // equal ones are the same, mostly, and storing a reference costs a fence
    void begin(Duration deadline) {
        long next = number.getPlain() + 1;
        int place = (int) (next & 1);
        if (limits.getPlain(place) != deadline) {
            limits.lazySet(place, deadline);
        }
        number.lazySet(next);
    }

    /** The operation under way may take so much longer. */
    void extend(Duration more) {
        int place = (int) (number.getPlain() & 1);
        limits.lazySet(place, Arguments.deadline(limits.getPlain(place).plus(more)));
    }

    /**
     * The deadline of the operation that is under way, if it has been so for longer.
     *
     * @param underWay whether one is
     * @param grace in which a wait that looks at its deadline ends by itself
     */
    Optional<Duration> overdue(boolean underWay, Duration grace) {
        long now = System.nanoTime();
        long current = number.getAcquire();
        Duration limit = limits.getAcquire((int) (current & 1));
        if (!underWay || current != seen) {
            seen = current;
            under.restart(now);
        }
        boolean over = under.nanos(now) - grace.toNanos() > limit.toNanos();
        return over && number.getAcquire() == current ? Optional.of(limit) : Optional.empty();
    }
}
