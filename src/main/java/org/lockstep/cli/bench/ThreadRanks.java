package org.lockstep.cli.bench;

import java.util.function.Consumer;
import org.lockstep.collective.Backend;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;

/** Ranks as threads of this JVM. Immutable. */
public final class ThreadRanks {
    private final Opening opening;

    /** What a rank computes on. */
    @FunctionalInterface
    public interface Opening {
        /** The backend of a party of {@code ranks}, opened in its thread to measure {@code measured}; the rank closes it. */
        Backend open(BenchBackend measured, int party, int ranks);
    }

    /** Ranks on the backends that they measure. */
    public ThreadRanks() {
        this(BenchBackend::open);
    }

    /** Ranks on what {@code opening} opens for each. */
    public ThreadRanks(Opening opening) {
        this.opening = opening;
    }

    /**
     * Measures, and returns when all of it is reported.
     *
     * @throws RuntimeException the first failure of a rank, as it was thrown
     */
    public void measure(RankSpec ranks, BenchPlan plan, Consumer<? super Measurement> report) {
        WorldSpec spec = ranks.world();
        LocalWorld.of(ranks.ranks())
                .withDeadline(ranks.limit())
                .<Boolean>run(rendezvous -> live(rendezvous, ranks.backend(), spec, plan, report));
    }

    private Boolean live(
            Rendezvous rendezvous,
            BenchBackend measured,
            WorldSpec spec,
            BenchPlan plan,
            Consumer<? super Measurement> report) {
        try (Backend backend = opening.open(measured, rendezvous.index(), rendezvous.size());
                World world = World.join(rendezvous, backend, spec)) {
            measure(world, backend, measured, plan, report);
        }
        return true;
    }

    /** What a rank does once it has joined. */
    static void measure(
            World world, Backend backend, BenchBackend measured, BenchPlan plan, Consumer<? super Measurement> report) {
        try {
            new Stopwatch(world, backend.kernels(), measured, plan, report).run();
        } catch (Throwable failure) {
            world.abort(failure);
            throw failure;
        }
    }
}
