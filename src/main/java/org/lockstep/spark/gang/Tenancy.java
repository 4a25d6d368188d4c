package org.lockstep.spark.gang;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Identity;
import org.lockstep.collective.Overdue;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Rendezvous;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One task's time as a rank: it takes a rank that waits in its JVM to the meeting or is given one there, and in the end the
 * rank waits for the next task, or ends.
 *
 * <p>Confined to the task's thread, except {@link #abort}, {@link #fail}, {@link #expire} and {@link #reason}.
 */
public final class Tenancy {
    private static final Logger LOG = LoggerFactory.getLogger(Tenancy.class);

    /** What a wait that looks at its deadline, and lets others speak first, has to end by itself, on a busy machine too. */
    private static final Duration GRACE = Duration.ofSeconds(3);

    private final Residents residents;
    private final Duration idle;
    private final AtomicReference<@Nullable LiveRank> rank = new AtomicReference<>();
    private volatile boolean failed;
    private volatile boolean over;
    private final AtomicReference<@Nullable Throwable> reason = new AtomicReference<>();

    /**
     * Takes nothing yet.
     *
     * @param idle how long a rank may wait for its next task; zero if none shall
     */
    Tenancy(Residents residents, Duration idle) {
        this.residents = residents;
        this.idle = idle;
    }

    /** Meets the others, and is a rank from then on; whatever fails, nothing is left. */
    LiveRank join(Rendezvous rendezvous, Supplier<Backend> backends, WorldSpec spec, Identity identity) {
        Backend backend = backends.get(); // first: what waits here must not be lost where there is none to be had
        LiveRank brought = idle.isZero() ? null : residents.take().orElse(null);
        LiveRank joined = null;
        try {
            World world = World.join(rendezvous, backend, spec, identity, brought == null ? null : brought.world());
            joined = brought != null && world.isResumed() ? brought.in(world) : new LiveRank(world, backend);
            rank.set(joined);
            return joined;
        } finally {
            if (joined == null || joined.backend() != backend) {
                backend.close();
            }
            if (brought != null && (joined == null || joined.backend() == backend)) {
                brought.abort(new IllegalStateException("its next meeting did not resume it"));
                brought.close();
                residents.sweep(); // what waits here still was of the same world
            }
        }
    }

    /**
     * Ends the rank's groups and tells its peers. From any thread.
     *
     * @return false if the task still is on its way to be a rank
     */
    boolean abort(Throwable cause) {
        failed = true;
        LiveRank mine = rank.get();
        if (mine != null) {
            mine.abort(cause);
        }
        return mine != null || over;
    }

    /** The rank fails of this: {@link #abort}s for it, and it is what the task has failed of, if nothing was before. */
    void fail(Throwable cause) {
        reason.compareAndSet(null, cause);
        abort(cause);
    }

    /** Aborts if this task's rank is in an operation past its deadline and does not end itself. By one thread. */
    Optional<Overdue> expire() {
        LiveRank mine = rank.get();
        Optional<Overdue> found = mine == null || failed
                ? Optional.empty()
                : mine.world().communicators().expire(GRACE);
        found.ifPresent(overdue -> {
            failed = true;
            reason.set(overdue.failure()); // though the abort may have woken its thread, which then failed of it
        });
        return found;
    }

    /**
     * What the task has failed of, whatever its thread then threw: {@code thrown} unless its rank had {@link #fail}ed or {@link
     * #expire}d. Spark, cleaning up after a failure, throws its own in the failure's place if it is interrupted meanwhile.
     */
    Throwable reason(Throwable thrown) {
        Throwable first = reason.get();
        return first == null ? thrown : first;
    }

    /** Of the rank, if the task is one now. */
    @Nullable
    World world() {
        LiveRank mine = rank.get();
        return mine == null ? null : mine.world();
    }

    /** After a task that has done its work: what goes wrong in leaving takes nothing of it away. */
    private static void leave(LiveRank mine, Consumer<RuntimeException> left) {
        try {
            mine.close();
        } catch (RuntimeException e) {
            LOG.warn("a rank that was done did not end in order", e);
            left.accept(e);
        }
    }

    /**
     * The task is over. Idempotent.
     *
     * @param left told what went wrong in leaving after the task had done its work, which this then does not throw
     */
    void end(Consumer<RuntimeException> left) {
        over = true;
        LiveRank mine = rank.getAndSet(null);
        if (mine == null) {
            return;
        }
        if (!idle.isZero() && !failed && mine.isAlive()) {
            residents.park(mine, idle);
        } else if (failed) {
            mine.close();
        } else {
            leave(mine, left);
        }
    }
}
