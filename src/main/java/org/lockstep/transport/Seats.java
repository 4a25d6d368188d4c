package org.lockstep.transport;

import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Where the threads of one group sleep. Thread-safe.
 *
 * <p>Who makes progress for a peer looks at its seat without a fence, which would cost more than all else; now and then a
 * sleeper is not seen. So nobody sleeps for longer than {@link #NAP_NANOS} in one go.
 */
final class Seats {
    static final long NAP_NANOS = 1_000_000;

    private final AtomicReferenceArray<@Nullable Thread> sleepers;

    Seats(int size) {
        sleepers = new AtomicReferenceArray<>(size);
    }

    /** The calling thread, of {@code rank} in group, is about to sleep; it looks once more before it does. */
    void sit(int rank) {
        sleepers.set(rank, Thread.currentThread());
    }

    /** It sleeps no more. */
    void rise(int rank) {
        sleepers.setRelease(rank, null);
    }

    void wake(int rank) {
        Thread sleeper = sleepers.getOpaque(rank);
        if (sleeper != null) {
            LockSupport.unpark(sleeper);
        }
    }

    void wakeAll() {
        for (int rank = 0; rank < sleepers.length(); rank++) {
            wake(rank);
        }
    }
}
