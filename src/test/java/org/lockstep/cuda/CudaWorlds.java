package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.function.Consumer;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
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
        return run(spec, size, options, line -> {}, part);
    }

    /** The same where {@code log} hears what the backends tell. */
    static <T> List<T> run(WorldSpec spec, int size, CudaOptions options, Consumer<String> log, Part<T> part) {
        List<VisibleDevice> devices = StandIn.devices();
        CyclicBarrier connected = new CyclicBarrier(size); // a failure of one shall not meet another still connecting
        return LocalWorld.of(size).run(rendezvous -> {
            VisibleDevice device = devices.get(rendezvous.index() % devices.size());
            try (CudaBackend backend = CudaBackend.create(device, CpuBackend.create(), options, log);
                    World world = World.join(rendezvous, backend, spec)) {
                connected.await();
                try {
                    return part.on(world, backend.kernels());
                } catch (Throwable failure) {
                    world.abort(failure);
                    throw failure;
                }
            }
        });
    }

    /** How an operation ends that not all ranks come to. */
    interface Ending {
        void of(World world, Buffer inUse) throws Exception;
    }

    /** Rank 1 comes to no operation; rank 0, which alone is there to wait for it, calls one, and sees how it ends. */
    static void inVain(WorldSpec spec, CudaOptions options, Ending ending) {
        CountDownLatch over = new CountDownLatch(1);
        run(spec, 2, options, (world, kernels) -> {
            Buffer x = floats(kernels, 1, 2);
            x.toHost();
            if (world.state().rank() == 1) {
                over.await();
                return true;
            }
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            ending.of(world, x);
            over.countDown();
            return true;
        });
    }

    static Buffer floats(Kernels kernels, float... values) {
        return kernels.upload(Buffer.ofFloats(values), values.length).buffer();
    }

    /** Every reduction that {@code type} has. */
    static List<ReduceOp> reductions(DataType type, int rank) {
        List<ReduceOp> all = new ArrayList<>(List.of(ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX));
        if (type.isFloating()) {
            all.add(ReduceOp.AVG);
            all.add(ReduceOp.premultipliedSum(0.3 + rank));
        }
        return all;
    }
}
