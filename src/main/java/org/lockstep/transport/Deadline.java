package org.lockstep.transport;

import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/** When an operation must be complete, on the clock of {@link System#nanoTime}. Immutable. */
public record Deadline(long at, Duration limit) {
    static Deadline in(Duration limit) {
        return new Deadline(System.nanoTime() + limit.toNanos(), limit);
    }

    long nanosLeft() {
        return at - System.nanoTime();
    }

    boolean passed() {
        return nanosLeft() <= 0;
    }

    /** Milliseconds to wait at most in one go, 1 to {@code most}. */
    long millis(long most) {
        return Math.max(1, Math.min(most, TimeUnit.NANOSECONDS.toMillis(nanosLeft())));
    }

    /** The limit as errors show it: {@code 15.0 s}. */
    @Override
    public String toString() {
        return String.format(Locale.ROOT, limit.toMillis() < 100 ? "%.3f s" : "%.1f s", limit.toNanos() / 1e9);
    }
}
