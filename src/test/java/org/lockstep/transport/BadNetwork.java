package org.lockstep.transport;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;

/** Worlds of pretended JVMs with a {@link ChaosProxy} before each door. */
final class BadNetwork {
    private final WorldSpec spec;
    private final Rhythm rhythm;
    private final ChaosProxy.Chaos chaos;
    private final Queue<ChaosProxy> proxies = new ConcurrentLinkedQueue<>();

    BadNetwork(WorldSpec spec, Rhythm rhythm, ChaosProxy.Chaos chaos) {
        this.spec = spec;
        this.rhythm = rhythm;
        this.chaos = chaos;
    }

    /** What a rank does once all are connected. */
    interface Part {
        void run(Communicator world) throws Exception;
    }

    /** Runs {@code part} on all of {@code size} ranks; how each ended, null for well, by rank. */
    List<CommunicatorException> run(int size, Part part) throws IOException {
        CyclicBarrier connected = new CyclicBarrier(size);
        CommunicatorException[] ends = new CommunicatorException[size];
        try {
            LocalWorld.of(size).withVenues(size).run(rendezvous -> {
                try (CpuBackend backend = CpuBackend.create(Listen.loopback(), rhythm);
                        World world = World.join(Told.through(rendezvous, spec.key(), chaos, proxies), backend, spec)) {
                    connected.await();
                    try {
                        part.run(world.communicators().world());
                    } catch (CommunicatorException failure) {
                        ends[world.state().rank()] = failure;
                    }
                }
                return 0;
            });
        } finally {
            for (ChaosProxy proxy : proxies) {
                proxy.close();
            }
        }
        List<CommunicatorException> all = new ArrayList<>();
        for (CommunicatorException end : ends) {
            all.add(end);
        }
        return all;
    }

    List<byte[]> records() {
        return proxies.stream().map(ChaosProxy::record).toList();
    }
}
