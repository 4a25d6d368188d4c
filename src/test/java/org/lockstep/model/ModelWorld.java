package org.lockstep.model;

import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ParallelState;

/** One replica on threads of this JVM. */
final class ModelWorld {
    private ModelWorld() {}

    /** What each rank does. */
    interface Work<T> {
        T run(ParallelState state, Communicators communicators, Kernels kernels) throws Exception;
    }

    private record Outcome<T>(int rank, T value) {}

    /** The results by rank. */
    static <T> List<T> run(int tensor, int pipeline, Work<T> work) {
        return run(ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(1), work);
    }

    /** The results by rank, in a world of one replica. */
    static <T> List<T> run(ParallelSizes sizes, Work<T> work) {
        return run(sizes, CpuBackend::create, work);
    }

    /** The same on other devices. */
    static <T> List<T> run(ParallelSizes sizes, Supplier<Backend> backends, Work<T> work) {
        return run(WorldSpec.of(sizes), backends, work);
    }

    /** The same as the specification says. */
    static <T> List<T> run(WorldSpec spec, Supplier<Backend> backends, Work<T> work) {
        ParallelSizes sizes = spec.sizes();
        return LocalWorld.of(sizes.tp() * sizes.pp())
                .withDeadline(Duration.ofMinutes(3)) // the stand-in for a GPU is slow
                .run(rendezvous -> {
                    try (Backend backend = backends.get();
                            World world = World.join(rendezvous, backend, spec)) {
                        try {
                            T value = work.run(world.state(), world.communicators(), backend.kernels());
                            return new Outcome<>(world.state().rank(), value);
                        } catch (Throwable failure) {
                            world.abort(failure);
                            throw failure;
                        }
                    }
                })
                .stream()
                .sorted(Comparator.comparingInt(Outcome::rank))
                .map(Outcome::value)
                .toList();
    }
}
