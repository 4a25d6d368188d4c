package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * How a rank waits for its peers in one group: it spins while that is cheap, then yields, then sleeps, longer by and by. It spins
 * for a shorter time where the operation before had to wait for longer than that, down to {@value #LEAST_SPIN_NANOS} ns, and for a
 * longer one again where it had not.
 *
 * <p>Threads of one JVM wake each other; a selector wakes for sockets; a JVM that shares memory with another can only look
 * again. Confined to one thread but for {@link #wake}.
 */
final class Pause {
    private static final int LOOK = 32; // turns of spinning between two looks at the clock

    /** Shorter spins yield whole time slices away on a busy machine. */
    private static final long SPIN_NANOS = 50_000;

    private static final long LEAST_SPIN_NANOS = 1_000;

    /** Operations: who shared a core may have one by now. */
    private static final int FULL_SPIN_EVERY = 64;

    private static final long YIELD_NANOS = 2_000_000;
    private static final long FIRST_NAP_NANOS = 20_000;
    private static final long GRACE_NANOS = 250_000_000; // for a verdict to come from any rank
    private static final long MOST_GRACE_NANOS = 4 * GRACE_NANOS;
    private static final int PARDONS = 4; // of one operation

    private final boolean spins;
    private final int eager; // turns without a look at the clock
    private final long yieldNanos;
    private final int rank;
    private final @Nullable Seats seats;
    private final @Nullable Selector selector;
    private final Runnable beforeSelect;
    private final boolean onlySockets;

    private long limitNanos;
    private long lateAt;
    private long graceNanos; // after that
    private boolean started; // the clock, by the first look at it
    private long looked; // at the clock, last
    private int pardons; // that are left
    private long spinNanos = SPIN_NANOS;
    private boolean outlived; // a wait of this operation has its spin
    private int operations;
    private int turns;
    private long restingSince; // 0 while that was not asked
    private boolean spun;
    private long rested; // by the last look at the clock
    private long napNanos = FIRST_NAP_NANOS;
    private boolean sitting;

    /**
     * The waiting of rank in group {@code rank}.
     *
     * @param crowded whether the ranks of this host outnumber its cores
     * @param seats of the peers in this JVM, if any
     * @param selector of the peers over sockets, if any
     * @param onlySockets whether all peers are behind it
     * @param beforeSelect tells the selector what is waited for
     */
    Pause(
            int rank,
            boolean crowded,
            @Nullable Seats seats,
            @Nullable Selector selector,
            boolean onlySockets,
            Runnable beforeSelect) {
        this.rank = rank;
        this.spins = !crowded && !onlySockets;
        this.eager = crowded ? 2 : LOOK;
        this.yieldNanos = crowded && selector != null ? SPIN_NANOS : YIELD_NANOS; // a selector wakes at once
        this.seats = seats;
        this.selector = selector;
        this.onlySockets = onlySockets;
        this.beforeSelect = beforeSelect;
    }

    /** An operation begins; the clock starts when it first has to be looked at. */
    void begin(Duration limit) {
        limitNanos = limit.toNanos();
        graceNanos = 0;
        started = false;
        pardons = PARDONS;
        adapt();
        reset();
    }

    /** The operation may take so much longer. */
    void extend(Duration more) {
        long nanos = more.toNanos();
        limitNanos += nanos;
        lateAt += nanos;
    }

    /**
     * Two ranks may share a core for a while, whatever the machine has: who spins then keeps the other from working. As each finds
     * every second message of the other there already, the spin grows more slowly than it shrinks.
     */
    private void adapt() {
        if (++operations % FULL_SPIN_EVERY == 0) {
            spinNanos = SPIN_NANOS;
        } else if (outlived) {
            spinNanos = Math.max(LEAST_SPIN_NANOS, spinNanos / 2);
        } else {
            spinNanos = Math.min(SPIN_NANOS, spinNanos + spinNanos / 8);
        }
        outlived = false;
    }

    /** Something moved. */
    void reset() {
        turns = 0;
        restingSince = 0;
        spun = false;
        rested = 0;
        napNanos = FIRST_NAP_NANOS;
        rise();
    }

    /** The operation ended. */
    void end() {
        rise();
    }

    private void rise() {
        if (sitting && seats != null) {
            sitting = false;
            seats.rise(rank);
        }
    }

    /** Waits a little; whether it is time to look for what ends the operation. */
    @SuppressWarnings("ThreadPriorityCheck") // a hint: what is waited for is checked again either way
    boolean turn() {
        int turn = ++turns;
        if (turn % LOOK != 0 && (spins ? !spun : turn < eager)) {
            Thread.onSpinWait();
            return false;
        }
        long now = System.nanoTime();
        if (!started) {
            started = true;
            lateAt = now + limitNanos;
        } else if (now - looked >= GRACE_NANOS) {
            pardon(now);
        }
        looked = now;
        if (restingSince == 0) {
            restingSince = now;
        }
        rested = now - restingSince;
        if (spins && !spun && rested < spinNanos) {
            return true;
        }
        spun = true;
        outlived = true;
        if (rested < yieldNanos) {
            Thread.yield();
            return turn % 8 == 0;
        }
        sleep(Math.max(1, lateAt + graceNanos - now));
        return true;
    }

    /** Who stood still for so long has not heard what others found meanwhile, nor seen who came. */
    private void pardon(long now) {
        if (pardons > 0 && lateAt - now < GRACE_NANOS) {
            pardons--;
            lateAt = now + GRACE_NANOS;
        }
    }

    private void sleep(long most) {
        if (selector != null) {
            select(most);
        } else if (seats != null && !sitting) {
            sitting = true;
            seats.sit(rank); // and look once more before sleeping
        } else {
            LockSupport.parkNanos(this, Math.min(most, napNanos));
            napNanos = Math.min(2 * napNanos, Seats.NAP_NANOS);
        }
    }

    private void select(long most) {
        Selector sockets = selector;
        if (sockets == null) {
            return;
        }
        beforeSelect.run();
        long millis = Math.max(1, Math.min(onlySockets ? 100 : 1, most / 1_000_000));
        try {
            sockets.select((SelectionKey ready) -> {}, millis);
        } catch (IOException failure) {
            throw new IllegalStateException("cannot wait for sockets", failure);
        }
    }

    /** Whether this wait is longer than most. */
    boolean isLong() {
        return spun && (!spins || rested >= SPIN_NANOS);
    }

    /** From here on one is late a little later, for each of so many steps. */
    void giveGrace(int steps) {
        graceNanos = Math.min(MOST_GRACE_NANOS, graceNanos + steps * GRACE_NANOS);
    }

    /** By the last look at the clock. */
    boolean isLate() {
        return started && looked - lateAt >= graceNanos;
    }

    Deadline limit() {
        return new Deadline(lateAt, Duration.ofNanos(limitNanos));
    }

    /** From any thread. */
    void wake() {
        if (seats != null) {
            seats.wake(rank);
        }
        if (selector != null) {
            selector.wakeup();
        }
    }

    void close() {
        rise();
        Sockets.closeQuietly(selector);
    }
}
