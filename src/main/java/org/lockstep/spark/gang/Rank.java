package org.lockstep.spark.gang;

import java.time.Duration;
import java.util.Optional;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.World;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;

/**
 * What a task is handed once the ranks have met: who it is, and its live groups. Its stage opened them and will close
 * them. Confined to the task's thread.
 */
public final class Rank {
    private final LiveRank live;
    private final Duration setup;

    Rank(LiveRank live, Duration setup) {
        this.live = live;
        this.setup = setup;
    }

    /** This rank's place in every group, as arithmetic. */
    public ParallelState state() {
        return world().state();
    }

    /** The live groups. */
    public Communicators communicators() {
        return world().communicators();
    }

    /** The maths of this rank's device. */
    public Kernels kernels() {
        return live.backend().kernels();
    }

    /** From the start of the task's code to live groups: {@link World#meetingTime()} and what is ours. */
    public Duration setupTime() {
        return setup;
    }

    /** Who else is there and where, and what the meeting cost. */
    public World world() {
        return live.world();
    }

    /** What this rank's function kept in an earlier task, where the rank stayed. */
    public Optional<Object> kept() {
        return live.kept();
    }

    /** Keeps {@code thing} for as long as the rank's groups live; {@code end} then gives it back. */
    public void keep(Object thing, Runnable end) {
        live.keep(thing, end);
    }

    @Override
    public String toString() {
        return state().toString();
    }
}
