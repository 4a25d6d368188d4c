package org.lockstep.cuda;

import java.util.List;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Kernels;

/** Worlds whose ranks are threads here, on the devices that there are in turn. */
final class CudaWorlds {
    private CudaWorlds() {}

    /** What a rank does. */
    interface Part<T> {
        T on(World world, Kernels kernels) throws Exception;
    }

    /** What the ranks return, in their order; who fails aborts its world. */
    static <T> List<T> run(WorldSpec spec, int size, CudaOptions options, Part<T> part) {
        List<VisibleDevice> devices = StandIn.devices();
        return LocalWorld.of(size).run(rendezvous -> {
            VisibleDevice device = devices.get(rendezvous.index() % devices.size());
            try (CudaBackend backend = CudaBackend.create(device, CpuBackend.create(), options);
                    World world = World.join(rendezvous, backend, spec)) {
                try {
                    return part.on(world, backend.kernels());
                } catch (Throwable failure) {
                    world.abort(failure);
                    throw failure;
                }
            }
        });
    }
}
