package org.lockstep.transport;

import java.time.Duration;
import org.lockstep.collective.WatchedTime;

/** How long it is kept back that a peer is gone, for who knows why may tell first. Confined to one thread. */
final class Grace {
    private static final Duration LONGEST_LOOK = Duration.ofMillis(100);

    private final long nanos;
    private final WatchedTime waited = new WatchedTime(LONGEST_LOOK, System.nanoTime());

    /** From now on. */
    Grace(Duration time) {
        nanos = time.toNanos();
    }

    boolean isOver() {
        return waited.nanos(System.nanoTime()) >= nanos;
    }
}
