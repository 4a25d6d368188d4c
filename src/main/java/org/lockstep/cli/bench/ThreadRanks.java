package org.lockstep.cli.bench;

import java.util.function.Consumer;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;

/** Ranks as threads of this JVM. */
public final class ThreadRanks {
    private ThreadRanks() {}

    /**
     * Measures, and returns when all of it is reported.
     *
     * @throws RuntimeException the first failure of a rank, as it was thrown
     */
    public static void measure(RankSpec ranks, BenchPlan plan, Consumer<? super Measurement> report) {
        WorldSpec spec = ranks.world();
        LocalWorld.of(ranks.ranks())
                .withDeadline(ranks.limit())
                .<Boolean>run(rendezvous -> live(rendezvous, spec, plan, report));
    }

    private static Boolean live(
            Rendezvous rendezvous, WorldSpec spec, BenchPlan plan, Consumer<? super Measurement> report) {
        try (CpuBackend backend = CpuBackend.create();
                World world = World.join(rendezvous, backend, spec)) {
            measure(world, plan, report);
        }
        return true;
    }

    /** What a rank does once it has joined. */
    static void measure(World world, BenchPlan plan, Consumer<? super Measurement> report) {
        try {
            new Stopwatch(world, plan, report).run();
        } catch (Throwable failure) {
            world.abort(failure);
            throw failure;
        }
    }
}
