package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Groups over several hosts, and groups too large for one step among all: their algorithms give the same bits. */
@Timeout(120)
class LargeGroupsTest {
    /** One rank's part. */
    private interface Part {
        void run(Communicator communicator) throws Exception;
    }

    private static void onEvery(int ranks, int venues, TransportKind kind, Part part) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(ranks))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.THREAD, kind));
        LocalWorld.of(ranks).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                part.run(world.communicators().world());
                world.communicators().world().barrier();
                return true;
            }
        });
    }

    @ParameterizedTest
    @CsvSource({
        "8, 2, TCP",
        "8, 4, TCP",
        "8, 4, SHARED",
        "12, 3, TCP",
        "6, 2, TCP",
        "17, 1, TCP",
        "20, 5, TCP",
        "33, 2, SHARED"
    })
    void reductionsAddInTheOrderOfRanks(int ranks, int venues, TransportKind kind) {
        Values values = new Values();
        onEvery(ranks, venues, kind, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : new int[] {0, 1, 100, 5003}) {
                for (DataType type : List.of(DataType.F32, DataType.F64, DataType.BF16, DataType.F16, DataType.I8)) {
                    for (ReduceOp.Kind op : Values.kinds(type).toList()) {
                        HostBuffer expected = values.reduced(type, op, length, ranks);
                        HostBuffer send = given(type, length, rank);
                        HostBuffer receive = room(type, length);
                        communicator.allReduce(send, receive, Values.op(op, rank));
                        assertHolds(receive, expected);
                        assertHolds(send, filled(type, length, rank));
                        communicator.allReduce(send, Values.op(op, rank));
                        assertHolds(send, expected);
                    }
                    HostBuffer all = values.reduced(type, ReduceOp.Kind.SUM, length * ranks, ranks);
                    HostBuffer block = room(type, length);
                    communicator.reduceScatter(given(type, length * ranks, rank), block, ReduceOp.SUM);
                    assertHolds(block, all.slice((long) rank * length, length));
                }
                int root = length % ranks;
                HostBuffer mine = given(DataType.F32, length, rank);
                communicator.reduce(mine, ReduceOp.MAX, root);
                assertHolds(
                        mine,
                        rank == root
                                ? values.reduced(DataType.F32, ReduceOp.Kind.MAX, length, ranks)
                                : filled(DataType.F32, length, rank));
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"8, 2, TCP", "8, 4, SHARED", "16, 4, TCP", "18, 3, TCP", "20, 1, TCP"})
    void blocksComeToTheirPlaces(int ranks, int venues, TransportKind kind) {
        onEvery(ranks, venues, kind, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : new int[] {0, 1, 100, 5003}) {
                HostBuffer all = room(DataType.F32, length * ranks);
                communicator.allGather(given(DataType.F32, length, rank), all);
                for (int i = 0; i < ranks; i++) {
                    Values.assertSame(all.slice((long) i * length, length), filled(DataType.F32, length, i));
                }
                HostBuffer gathered = room(DataType.F32, length * ranks);
                communicator.gather(given(DataType.F32, length, rank), gathered, ranks - 1);
                if (rank == ranks - 1) {
                    assertHolds(gathered, all);
                }
                for (int root : new int[] {0, 1, ranks / 2, ranks - 1}) {
                    HostBuffer told = given(DataType.I64, length, rank);
                    communicator.broadcast(told, root);
                    assertHolds(told, filled(DataType.I64, length, root));
                }
            }
            assertThat(communicator.allGatherObject("rank " + rank, String.class))
                    .hasSize(ranks)
                    .contains("rank 3");
            communicator.barrier();
        });
    }

    @ParameterizedTest
    @CsvSource({"8, 2, TCP", "20, 5, TCP", "20, 1, TCP"})
    void whoDiffersIsToldToEveryRank(int ranks, int venues, TransportKind kind) {
        onEvery(
                ranks,
                venues,
                kind,
                communicator -> {
                    try {
                        communicator.barrier();
                        int length = communicator.rankInGroup() == 5 ? 101 : 100;
                        communicator.allReduce(HostBuffer.allocate(DataType.F32, length), ReduceOp.SUM);
                        communicator.allReduce(Buffer.ofFloats(1), ReduceOp.SUM);
                    } catch (CommunicatorException failure) {
                        if (failure.code() == ErrorCode.COLLECTIVE_MISMATCH
                                && failure.getMessage().contains("f32[101]")
                                && failure.getMessage().contains("f32[100]")) {
                            throw new Expected();
                        }
                        throw failure;
                    }
                },
                Expected.class);
    }

    /** What a rank says that was told of the mismatch. */
    private static final class Expected extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private static void onEvery(int ranks, int venues, TransportKind kind, Part part, Class<?> failure) {
        List<Throwable> seen = Collections.synchronizedList(new ArrayList<>());
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(ranks))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.THREAD, kind));
        LocalWorld.of(ranks).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                part.run(world.communicators().world());
            } catch (RuntimeException thrown) {
                seen.add(thrown);
            }
            return true;
        });
        assertThat(seen).hasSize(ranks).allSatisfy(thrown -> assertThat(thrown).isInstanceOf(failure));
    }
}
