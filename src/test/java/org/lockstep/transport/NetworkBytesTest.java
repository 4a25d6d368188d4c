package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.Arrays;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/**
 * What an operation sends from host to host, counted there: groups over several hosts go inside the host first, so that it is
 * what their algorithms say of themselves, and not what they would send if all were equally far.
 */
@Timeout(120)
class NetworkBytesTest {
    private static final int LENGTH = 360_000; // of f32, in equal shares for worlds of up to 32 ranks here
    private static final long BYTES = 4L * LENGTH;

    /** What frames of large data and heartbeats add. */
    private static final long MORE = BYTES / 20;

    /** What the frames of one pair add, however small their data. */
    private static final long FRAMES = 160;

    /** What one is given, and the part of it that is a rank's own. */
    private interface Call {
        void on(Communicator all, HostBuffer whole, HostBuffer part);
    }

    private enum Operation {
        ALL_REDUCE((all, whole, part) -> all.allReduce(whole, ReduceOp.SUM)),
        REDUCE((all, whole, part) -> all.reduce(whole, ReduceOp.SUM, all.size() - 1)),
        REDUCE_SCATTER((all, whole, part) -> all.reduceScatter(whole, part, ReduceOp.SUM)),
        ALL_GATHER((all, whole, part) -> all.allGather(part, whole)),
        BROADCAST((all, whole, part) -> all.broadcast(whole, 1)),
        ALL_TO_ALL((all, whole, part) -> all.allToAll(whole, HostBuffer.allocate(DataType.F32, LENGTH))),
        BARRIER((all, whole, part) -> all.barrier());

        final Call call;

        Operation(Call call) {
            this.call = call;
        }
    }

    /** Counts what passes, and passes it on. */
    private static final class Counter implements ChaosProxy.Chaos {
        final AtomicLong bytes = new AtomicLong();

        @Override
        public void pass(ChaosProxy.Way way, long before, byte[] some, ChaosProxy.Wire wire) throws IOException {
            bytes.addAndGet(some.length);
            wire.write(some, 0, some.length);
        }
    }

    /** @param times how often the whole buffer crosses, from all ranks to all: of k hosts, and m ranks on each */
    @ParameterizedTest
    @CsvSource({
        "8, 2, ALL_REDUCE, 2", // 2 (k-1), where all to all is 2 (k-1) m
        "12, 3, ALL_REDUCE, 4",
        "8, 2, REDUCE, 1", // k-1
        "12, 3, REDUCE, 2",
        "8, 2, REDUCE_SCATTER, 1", // k-1, where all to all is (k-1) m
        "12, 3, REDUCE_SCATTER, 2",
        "8, 2, ALL_GATHER, 1",
        "12, 3, ALL_GATHER, 2",
        "6, 2, ALL_GATHER, 1", // three ranks a host, whose sums are no subtrees
        "8, 2, BROADCAST, 1",
        "12, 3, BROADCAST, 2",
        "32, 2, ALL_REDUCE, 2",
        "32, 2, REDUCE, 1",
        "32, 2, REDUCE_SCATTER, 1",
        "32, 2, ALL_GATHER, 1",
        "32, 2, BROADCAST, 1",
        "20, 5, ALL_REDUCE, 8",
        "20, 5, BROADCAST, 4",
        "24, 8, ALL_REDUCE, 20", // three a host, whose sums are no subtrees: halving, of 16 and 8, and k-1
        "24, 8, REDUCE_SCATTER, 13.33",
        "24, 8, ALL_TO_ALL, 21",
        "20, 20, ALL_REDUCE, 38", // no two on a host, shares again: 2 (n-1)
        "20, 20, REDUCE_SCATTER, 19",
        "20, 20, ALL_GATHER, 19", // a ring
        "20, 20, ALL_TO_ALL, 19",
        "20, 20, BROADCAST, 21", // a ring again, and 2 for the scatter before it
        "40, 20, ALL_REDUCE, 38",
        "144, 36, ALL_GATHER, 35",
        "40, 2, BROADCAST, 1",
        "256, 2, ALL_REDUCE, 2", // halving: what is left of the whole, of all ranks, in the last step
        "6, 2, BROADCAST, 1",
        "8, 2, BARRIER, 0",
        "6, 2, ALL_REDUCE, 3.25", // halving of 0 to 3, with 3 on the other host: 1.5; 0.75 to add 4 and 5; k-1
        "6, 2, REDUCE_SCATTER, 2.67",
        "7, 2, REDUCE, 2", // four and three: 1 to add, and 1 to the root
        "9, 4, ALL_REDUCE, 9.375", // three, and thrice two a host
        "9, 4, ALL_GATHER, 3",
        "9, 4, BROADCAST, 3"
    })
    void whatCrossesIsWhatTheAlgorithmSays(int ranks, int hosts, Operation operation, double times) throws IOException {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(ranks))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.THREAD, TransportKind.TCP));
        Counter counter = new Counter();
        Queue<ChaosProxy> proxies = new ConcurrentLinkedQueue<>();
        CyclicBarrier together = new CyclicBarrier(ranks);
        long[] counted = new long[ranks];
        try {
            LocalWorld.of(ranks).withVenues(hosts).run(rendezvous -> {
                try (CpuBackend backend = CpuBackend.create(Listen.loopback());
                        World world =
                                World.join(Told.through(rendezvous, spec.key(), counter, proxies), backend, spec)) {
                    Communicator all = world.communicators().world();
                    HostBuffer whole = HostBuffer.allocate(DataType.F32, LENGTH);
                    HostBuffer part = HostBuffer.allocate(DataType.F32, LENGTH / ranks);
                    all.barrier();
                    together.await();
                    long before = counter.bytes.get();
                    together.await();
                    operation.call.on(all, whole, part);
                    together.await();
                    counted[rendezvous.index()] = counter.bytes.get() - before;
                    together.await();
                    return true;
                }
            });
        } finally {
            for (ChaosProxy proxy : proxies) {
                proxy.close();
            }
        }
        long most = Arrays.stream(counted).max().orElseThrow();
        assertThat(most)
                .isBetween(
                        (long) (times * BYTES) - BYTES / 100,
                        (long) (times * BYTES) + MORE + (long) ranks * (hosts - 1) * FRAMES);
    }
}
