package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.Work;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/**
 * Ranks are aborted and closed from other threads in the middle of large operations over shared memory, hundreds of times:
 * memory that is unmapped under a thread that is inside takes the whole process down.
 */
@Timeout(120)
class AbortHammerTest {
    private static final int RANKS = 3;
    private static final int ROUNDS = 300;
    private static final int LARGE = 200_000;

    /** How the world of one rank is ended by another thread. */
    enum Blow {
        ABORT,
        CLOSE,
        CLOSE_THE_BACKEND,
        INTERRUPT
    }

    @ParameterizedTest(name = "over {0} pretended JVMs")
    @ValueSource(ints = {2, 3})
    void nobodyTouchesMemoryThatIsUnmapped(int venues) {
        Random random = new Random(venues);
        for (int round = 0; round < ROUNDS / 2; round++) {
            Blow blow = Blow.values()[round % Blow.values().length];
            strike(venues, round, blow, random.nextInt(6), random.nextInt(20_000));
        }
        await().untilAsserted(() -> assertThat(Files.readAllLines(Path.of("/proc/self/maps")))
                .noneMatch(line -> line.contains("/dev/shm/lockstep-")));
    }

    private static void strike(int venues, int round, Blow blow, int operations, int turns) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(RANKS))
                .withTransports(Set.of(TransportKind.THREAD, TransportKind.SHARED));
        AtomicInteger done = new AtomicInteger();
        CyclicBarrier connected = new CyclicBarrier(RANKS);
        LocalWorld.of(RANKS).withVenues(venues).run(rendezvous -> {
            Thread hammer = new Thread();
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                connected.await();
                if (world.state().rank() == round % RANKS) {
                    Thread rank = Thread.currentThread();
                    hammer = new Thread(() -> hit(blow, done, operations, turns, world, backend, rank), "hammer");
                    hammer.start();
                }
                CommunicatorException failure = work(world.communicators().tensor(), done, round);
                assertThat(failure.code()).isIn(ErrorCode.ABORTED, ErrorCode.COMMUNICATOR_CLOSED, ErrorCode.PEER_LOST);
            }
            boolean interrupted = Thread.interrupted();
            hammer.join();
            assertThat(interrupted && blow != Blow.INTERRUPT).isFalse();
            return 0;
        });
    }

    private static void hit(
            Blow blow, AtomicInteger done, int operations, int turns, World world, CpuBackend backend, Thread rank) {
        while (done.get() < operations) {
            Thread.onSpinWait();
        }
        for (int turn = 0; turn < turns; turn++) {
            Thread.onSpinWait();
        }
        switch (blow) {
            case ABORT -> world.abort(new IllegalStateException("killed"));
            case CLOSE -> world.close();
            case CLOSE_THE_BACKEND -> backend.close();
            case INTERRUPT -> rank.interrupt();
        }
    }

    /** Works until that fails, in the rank's own thread or in the one for what is queued. */
    private static CommunicatorException work(Communicator communicator, AtomicInteger done, int round) {
        HostBuffer x = HostBuffer.allocate(DataType.F32, LARGE);
        try {
            while (true) {
                if (round % 8 < 4) {
                    communicator.allReduce(x, ReduceOp.SUM);
                } else {
                    Work work = communicator.async(queue -> queue.allReduce(x, ReduceOp.SUM));
                    communicator.async(queue -> queue.allReduce(x, ReduceOp.SUM));
                    work.await();
                }
                done.incrementAndGet();
            }
        } catch (CommunicatorException failure) {
            return failure;
        }
    }
}
