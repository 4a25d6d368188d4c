package org.lockstep.cli.bench.inference;

import java.time.Duration;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import org.lockstep.collective.Backend;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelSizes;

/**
 * Replicas whose ranks are threads of this JVM. Immutable.
 *
 * @param sizes of the axes
 * @param backends of the ranks, by the number of each in the meeting
 * @param limit for meeting, and for all measurements together
 */
public record ThreadReplicas(ParallelSizes sizes, IntFunction<Backend> backends, Duration limit) {

    /**
     * Measures, and returns when all of it is reported, on the thread of rank 0.
     *
     * @throws RuntimeException the first failure of a rank, as it was thrown
     */
    public void measure(BenchModel model, SpeedPlan plan, Consumer<? super Speed> report) {
        this.<Boolean>onEveryRank((world, kernels) -> {
            measure(world, kernels, model, plan, report);
            return true;
        });
    }

    /** What each rank makes of its part in the world, by rank; the first failure of one, as it was thrown. */
    <T> List<T> onEveryRank(BiFunction<World, Kernels, T> work) {
        WorldSpec spec = WorldSpec.of(sizes).withMeetingTimeout(limit).withOperationTimeout(limit);
        return LocalWorld.of(sizes.tp() * sizes.pp() * sizes.dp())
                .withDeadline(limit)
                .<T>run(rendezvous -> {
                    try (Backend backend = backends.apply(rendezvous.index());
                            World world = World.join(rendezvous, backend, spec)) {
                        try {
                            return work.apply(world, backend.kernels());
                        } catch (Throwable failure) {
                            world.abort(failure);
                            throw failure;
                        }
                    }
                });
    }

    private static void measure(
            World world, Kernels kernels, BenchModel model, SpeedPlan plan, Consumer<? super Speed> report) {
        GangClock clock = new GangClock(world.communicators());
        new StageBench(world.state(), world.communicators(), kernels, plan, clock, report).run(model);
        if (plan.engine()) {
            new EngineBench(world.state(), world.communicators(), kernels, plan, clock, report).run(model);
        }
    }
}
