package org.lockstep.collective;

import java.time.Duration;

/**
 * Time as somebody counts it who waits for others and looks at the clock now and then: while the whole JVM stood still nobody in it
 * could go on, nor hear anything, so that from one look to the next only so much counts. Confined to one thread.
 */
public final class WatchedTime {
    private final long longest;
    private long looked;
    private long counted;

    /**
     * From {@code now} on.
     *
     * @param longestLook what the time between two looks counts at most
     * @param now on the clock of {@link System#nanoTime}, here and below
     */
    public WatchedTime(Duration longestLook, long now) {
        this.longest = longestLook.toNanos();
        this.looked = now;
    }

    /** It begins again. */
    public void restart(long now) {
        looked = now;
        counted = 0;
    }

    /** Looks: how much it is by now, in nanoseconds. */
    public long nanos(long now) {
        counted += Math.min(now - looked, longest);
        looked = now;
        return counted;
    }
}
