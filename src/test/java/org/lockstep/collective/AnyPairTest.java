package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.Left;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** In a group too large for a connection of each pair, those that have none get it when they first need it. */
@Timeout(60)
class AnyPairTest {
    /** One rank's part. */
    private interface Part {
        void run(World world) throws Exception;
    }

    private static void onEvery(int ranks, int venues, boolean encrypted, Part part) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(ranks))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.THREAD, TransportKind.TCP))
                .withEncryption(encrypted);
        LocalWorld.of(ranks).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                part.run(world);
            }
            return true;
        });
    }

    @ParameterizedTest
    @CsvSource({"130, 2, false", "130, 5, true", "200, 10, false", "131, 131, false"})
    void anyTwoSendAndReceive(int ranks, int venues, boolean encrypted) {
        onEvery(ranks, venues, encrypted, world -> {
            Communicator communicator = world.communicators().world();
            int rank = communicator.rankInGroup();
            for (int distance : new int[] {3, 37, ranks / 2, ranks - 11}) {
                int to = (rank + distance) % ranks;
                int from = Math.floorMod(rank - distance, ranks);
                HostBuffer room = HostBuffer.allocate(DataType.I32, 1);
                communicator.grouped(group -> {
                    group.send(Buffer.ofInts(rank), to);
                    group.receive(room, from);
                });
                assertThat(room.toInts()).containsExactly(from);
            }
            communicator.barrier();
        });
    }

    /** Each sends before it receives, and most of them in the same moment. */
    @Test
    void bothEndsMayBeginAtOnce() {
        onEvery(130, 2, false, world -> {
            Communicator communicator = world.communicators().world();
            int rank = communicator.rankInGroup();
            for (int mask : new int[] {5, 44, 91}) {
                int peer = rank ^ mask;
                communicator.barrier();
                if (peer < 130) {
                    communicator.sendObject(rank, peer);
                    assertThat(communicator.receiveObject(peer, Integer.class)).isEqualTo(peer);
                }
            }
            communicator.barrier();
        });
    }

    /** Who has left in order, as who was killed, has no door any more. */
    @Test
    void whoIsGoneIsToldAtTheFirstUse() {
        CyclicBarrier left = new CyclicBarrier(130);
        List<CommunicatorException> failures = Collections.synchronizedList(new ArrayList<>());
        onEvery(130, 2, false, world -> {
            Communicator communicator = world.communicators().world();
            int rank = communicator.rankInGroup();
            communicator.barrier();
            if (rank == 100) {
                world.close();
            }
            left.await();
            try {
                if (rank == 3) {
                    communicator.send(Buffer.ofInts(1), 100);
                }
            } catch (CommunicatorException failure) {
                failures.add(failure);
            }
            left.await();
        });
        assertThat(failures).hasSize(1).allSatisfy(failure -> {
            assertThat(failure.code()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(failure).hasMessageContaining("rank 100 cannot be reached");
        });
    }

    @Test
    void whoAbortedIsNamedAtTheFirstUse() {
        CyclicBarrier here = new CyclicBarrier(130); // all are through the group's barrier
        CyclicBarrier aborted = new CyclicBarrier(130);
        List<CommunicatorException> failures = Collections.synchronizedList(new ArrayList<>());
        onEvery(130, 2, false, world -> {
            Communicator communicator = world.communicators().world();
            int rank = communicator.rankInGroup();
            communicator.barrier();
            here.await();
            if (rank == 100) {
                world.communicators().abort(new IllegalStateException("enough"));
            }
            aborted.await();
            try {
                if (rank == 3) {
                    communicator.receive(HostBuffer.allocate(DataType.I32, 1), 100);
                }
            } catch (CommunicatorException failure) {
                failures.add(failure);
            }
            aborted.await();
        });
        assertThat(failures).hasSize(1).allSatisfy(failure -> {
            assertThat(failure.code()).isEqualTo(ErrorCode.ABORTED);
            assertThat(failure)
                    .hasMessageContaining("aborted because of rank 100")
                    .hasMessageContaining("enough");
        });
    }

    @Test
    void nothingIsLeftOfADoorThatWasKept() throws Exception {
        bothEndsMayBeginAtOnce();
        Left before = Left.now();
        bothEndsMayBeginAtOnce();
        whoIsGoneIsToldAtTheFirstUse();
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .untilAsserted(() -> Left.now().requireNoMoreThan(before));
    }
}
