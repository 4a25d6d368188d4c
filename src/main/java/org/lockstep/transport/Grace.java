package org.lockstep.transport;

import java.time.Duration;

/**
 * How long it is kept back that a peer is gone, for who knows why may tell first. Confined to one thread.
 *
 * <p>What counts between two looks is a tenth of a second at most: a JVM that stood still for longer heard nobody meanwhile.
 */
final class Grace {
    private static final long MOST_NANOS = 100_000_000;

    private long left;
    private long looked = System.nanoTime();

    /** From now on. */
    Grace(Duration time) {
        left = time.toNanos();
    }

    boolean isOver() {
        long now = System.nanoTime();
        left -= Math.min(now - looked, MOST_NANOS);
        looked = now;
        return left <= 0;
    }
}
