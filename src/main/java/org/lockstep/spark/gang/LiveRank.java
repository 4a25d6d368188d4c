package org.lockstep.spark.gang;

import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.World;

/**
 * A rank with all that it holds: its groups, its device, and what its function keeps. It may outlive the task that made it.
 *
 * <p>Confined to its rank's thread, except {@link #abort} and {@link #isAlive}; {@link Residents} hands it from the thread
 * of one task to that of the next.
 */
public final class LiveRank implements AutoCloseable {
    private final World world;
    private final Backend backend;
    private @Nullable Kept kept;

    private record Kept(Object thing, Runnable end) {}

    /** A rank that holds its groups and its device, and nothing else yet. */
    LiveRank(World world, Backend backend) {
        this.world = world;
        this.backend = backend;
    }

    /** This rank, which goes on in its world as a later meeting found it; this object is spent. */
    LiveRank in(World resumed) {
        LiveRank next = new LiveRank(resumed, backend);
        next.kept = kept;
        kept = null;
        return next;
    }

    World world() {
        return world;
    }

    Backend backend() {
        return backend;
    }

    /** What was kept. */
    Optional<Object> kept() {
        return Optional.ofNullable(kept).map(Kept::thing);
    }

    /** Keeps {@code thing} until this rank ends; {@code end} then gives it back, before the groups and the device. */
    void keep(Object thing, Runnable end) {
        if (kept != null) {
            throw new IllegalStateException(world + " keeps " + kept.thing() + " already");
        }
        kept = new Kept(thing, end);
    }

    boolean isAlive() {
        return world.isAlive();
    }

    /** Ends the groups now, and tells the other ranks. From any thread; {@link #close} gives back. */
    void abort(Throwable cause) {
        world.abort(cause);
    }

    /** Gives everything back. Idempotent. */
    @Override
    public void close() {
        Kept last = kept;
        kept = null;
        try (backend;
                world) {
            if (last != null) {
                last.end().run();
            }
        }
    }
}
