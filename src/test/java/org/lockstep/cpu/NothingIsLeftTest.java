package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.Left;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.Work;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/**
 * What many worlds leave behind, whether they end well or in the middle: no thread, no descriptor, no mapping, no file in
 * shared memory, no memory outside the heap, nothing in the place where threads meet.
 */
@Timeout(180)
class NothingIsLeftTest {
    private static final int RANKS = 3;

    /**
     * Of each kind, so many worlds are closed and as many aborted, a thousand of either in all; {@code -Dlockstep.worlds} says
     * otherwise.
     */
    private static final int WORLDS = Integer.getInteger("lockstep.worlds", 168);

    static Stream<Arguments> worlds() {
        return Stream.of(
                Arguments.of(1, Set.of(TransportKind.THREAD), false),
                Arguments.of(3, Set.of(TransportKind.SHARED), false),
                Arguments.of(3, Set.of(TransportKind.TCP), false),
                Arguments.of(3, Set.of(TransportKind.TCP), true),
                Arguments.of(2, Set.of(TransportKind.THREAD, TransportKind.SHARED), false),
                Arguments.of(2, Set.of(TransportKind.THREAD, TransportKind.TCP), false));
    }

    @ParameterizedTest(name = "{0} JVMs over {1}, encrypted: {2}")
    @MethodSource("worlds")
    void afterManyLives(int venues, Set<TransportKind> transports, boolean encrypted) throws Exception {
        for (int cycle = 0; cycle < 8; cycle++) { // what is made once and for all
            live(cycle, venues, transports, encrypted);
        }
        Left before = Left.now();
        for (int cycle = 0; cycle < 2 * WORLDS; cycle++) {
            live(cycle, venues, transports, encrypted);
        }
        // Idle threads take a moment to end, memory outside the heap is freed after the garbage, and other tests, of
        // this
        // JVM and of others on this host, may only just be ending.
        await().atMost(Duration.ofSeconds(30))
                .pollInterval(Duration.ofMillis(50))
                .untilAsserted(() -> Left.now().requireNoMoreThan(before));
    }

    /** One world, from the meeting to its end. */
    private static void live(int cycle, int venues, Set<TransportKind> transports, boolean encrypted) {
        boolean good = cycle % 2 == 0;
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(RANKS))
                .withTransports(transports)
                .withEncryption(encrypted);
        AtomicInteger failed = new AtomicInteger();
        Queue<Venue> seen = new ConcurrentLinkedQueue<>();
        CyclicBarrier connected = new CyclicBarrier(RANKS); // a failure of one shall not meet another still connecting
        LocalWorld.of(RANKS).withVenues(venues).run(rendezvous -> {
            seen.add(rendezvous.venue());
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                connected.await();
                use(world.communicators(), world.state().rank());
                if (!good) {
                    fail(world, cycle);
                }
            } catch (CommunicatorException expected) {
                failed.incrementAndGet();
            }
            return 0;
        });
        if (good) {
            assertThat(failed).hasValue(0);
        }
        assertThat(seen).hasSize(RANKS).allMatch(Venue::isEmpty);
    }

    private static void use(Communicators communicators, int rank) throws Exception {
        Communicator communicator = communicators.tensor();
        ControlPlane plane = communicators.controlPlane();
        plane.serve(0, (from, question) -> CompletableFuture.completedFuture(question));
        plane.serve(1, (from, question) -> new CompletableFuture<>());
        for (int length : new int[] {10, 100_000}) {
            HostBuffer x = HostBuffer.allocate(DataType.F32, length);
            x.floats()[length - 1] = rank;
            communicator.allReduce(x, ReduceOp.SUM);
            assertThat(x.floats()[length - 1]).isEqualTo(3f);
        }
        CompletableFuture<byte[]> call = plane.call((rank + 1) % RANKS, 0, new byte[] {5});
        HostBuffer y = Buffer.ofInts(rank);
        Work work = communicator.async(queue -> queue.allReduce(y, ReduceOp.MAX));
        assertThat(communicator.broadcastObject(rank == 1 ? "hello" : null, 1, String.class))
                .isEqualTo("hello");
        work.await();
        assertThat(y.toInts()).containsExactly(2);
        assertThat(call.get()).containsExactly(5);
        communicator.barrier(); // who leaves owes nobody an answer
    }

    /** One rank aborts while the others are in the middle: inside, waiting for what is queued, or closing over it. */
    private static void fail(World world, int cycle) {
        int part = (world.state().rank() + cycle / 2) % RANKS;
        Communicator communicator = world.communicators().tensor();
        world.communicators().controlPlane().call((world.state().rank() + 1) % RANKS, 1, new byte[100_000]);
        if (part == 0) {
            world.abort(new IllegalStateException("enough"));
        } else if (part == 1) {
            communicator.allReduce(HostBuffer.allocate(DataType.F32, 100_000), ReduceOp.SUM);
        } else {
            Work work = communicator.async(
                    queue -> queue.allReduce(HostBuffer.allocate(DataType.F32, 100_000), ReduceOp.SUM));
            if (cycle % 4 == 1) {
                work.await();
            }
        }
    }
}
