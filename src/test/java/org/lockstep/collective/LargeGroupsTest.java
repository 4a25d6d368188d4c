package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
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
                for (int root : new int[] {0, length % ranks, ranks - 1}) {
                    for (DataType type : List.of(DataType.F32, DataType.BF16)) {
                        HostBuffer mine = given(type, length, rank);
                        communicator.reduce(mine, ReduceOp.AVG, root);
                        assertHolds(
                                mine,
                                rank == root
                                        ? values.reduced(type, ReduceOp.Kind.AVG, length, ranks)
                                        : filled(type, length, rank));
                    }
                }
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"6, 2, TCP", "9, 3, SHARED", "8, 2, TCP", "8, 4, SHARED", "16, 4, TCP", "18, 3, TCP", "20, 1, TCP"})
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
            HostBuffer dealt = room(DataType.F32, 3);
            communicator.scatter(rank == 1 ? given(DataType.F32, 3 * ranks, 7) : null, dealt, 1);
            assertHolds(dealt, filled(DataType.F32, 3 * ranks, 7).slice(3L * rank, 3));
            HostBuffer swapped = room(DataType.F32, ranks);
            communicator.allToAll(given(DataType.F32, ranks, rank), swapped);
            for (int i = 0; i < ranks; i++) {
                Values.assertSame(
                        swapped.slice(i, 1), filled(DataType.F32, ranks, i).slice(rank, 1));
            }
            long[] ones = new long[ranks];
            Arrays.fill(ones, 1);
            communicator.allToAllV(given(DataType.F32, ranks, rank), ones, room(DataType.F32, ranks), ones);
            HostBuffer sent = room(DataType.F32, 5);
            communicator.grouped(
                    together -> { // a distance that is no power of two
                        together.send(given(DataType.F32, 5, rank), (rank + 3) % ranks);
                        together.receive(sent, Math.floorMod(rank - 3, ranks));
                    });
            assertHolds(sent, filled(DataType.F32, 5, Math.floorMod(rank - 3, ranks)));
            assertThat(communicator.allGatherObject("rank " + rank, String.class))
                    .hasSize(ranks)
                    .contains("rank 3");
            communicator.barrier();
        });
    }

    /** What rank 5 does where the others all-reduce 100 floats. */
    private enum Fault {
        COUNT("f32[101]", c -> c.allReduce(HostBuffer.allocate(DataType.F32, 101), ReduceOp.SUM)),
        TYPE("f64[100]", c -> c.allReduce(HostBuffer.allocate(DataType.F64, 100), ReduceOp.SUM)),
        OP("max f32[100]", c -> c.allReduce(HostBuffer.allocate(DataType.F32, 100), ReduceOp.MAX)),
        BARRIER("barrier", Communicator::barrier),
        BROADCAST("broadcast", c -> c.broadcast(HostBuffer.allocate(DataType.F32, 100), 1)),
        GATHER(
                "all_gather",
                c -> c.allGather(
                        HostBuffer.allocate(DataType.F32, 100), HostBuffer.allocate(DataType.F32, 100L * c.size()))),
        ALL_TO_ALL("all_to_all", c -> {
            long length = 100L * c.size();
            c.allToAll(HostBuffer.allocate(DataType.F32, length), HostBuffer.allocate(DataType.F32, length));
        }),
        SKIPPED("broadcast #2 f32[1]", c -> c.broadcast(HostBuffer.allocate(DataType.F32, 1), 0));

        final String words;
        final Part part;

        Fault(String words, Part part) {
            this.words = words;
            this.part = part;
        }
    }

    static Stream<Arguments> faults() {
        return Stream.of(
                        Arguments.of(6, 2, TransportKind.TCP),
                        Arguments.of(8, 2, TransportKind.TCP),
                        Arguments.of(17, 1, TransportKind.TCP),
                        Arguments.of(20, 1, TransportKind.TCP),
                        Arguments.of(20, 5, TransportKind.TCP))
                .flatMap(world -> Arrays.stream(Fault.values()).map(fault -> {
                    Object[] all = Arrays.copyOf(world.get(), 4);
                    all[3] = fault;
                    return Arguments.of(all);
                }));
    }

    @ParameterizedTest
    @MethodSource("faults")
    void whoDiffersIsToldToEveryRank(int ranks, int venues, TransportKind kind, Fault fault) {
        assertTold(ranks, venues, kind, fault.words, "all_reduce #2 sum f32[100]", communicator -> {
            if (communicator.rankInGroup() == 5) {
                fault.part.run(communicator);
            } else {
                communicator.allReduce(HostBuffer.allocate(DataType.F32, 100), ReduceOp.SUM);
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"8, 2, TCP", "17, 1, TCP", "20, 5, TCP"})
    void anotherRootIsToldToEveryRank(int ranks, int venues, TransportKind kind) {
        assertTold(
                ranks,
                venues,
                kind,
                "root 1",
                "root 0",
                communicator -> communicator.broadcast(
                        HostBuffer.allocate(DataType.F32, 100), communicator.rankInGroup() == 5 ? 1 : 0));
    }

    private static void assertTold(int ranks, int venues, TransportKind kind, String words, String others, Part part) {
        onEvery(
                ranks,
                venues,
                kind,
                communicator -> {
                    long start = System.nanoTime();
                    try {
                        communicator.barrier(); // in which some are still
                        part.run(communicator);
                    } catch (CommunicatorException failure) {
                        assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
                        assertThat(failure).hasMessageContaining(words).hasMessageContaining(others);
                        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(5));
                        throw new Expected();
                    }
                },
                Expected.class);
    }

    @Test
    void whoHasNoConnectionIsRefusedBeforeAnythingIsSent() {
        onEvery(130, 2, TransportKind.TCP, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer one = Buffer.ofFloats(rank);
            int far = (rank + 65) % 130; // on the other host
            assertThatThrownBy(() -> communicator.send(one, far))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("peer (" + far + ") has no connection to rank " + rank);
            assertThatThrownBy(() -> communicator.sendObject("one", far)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> communicator.scatter(null, one, 129))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("broadcast or gather instead");
            communicator.allReduce(one, ReduceOp.SUM);
            assertThat(one.floats()[0]).isEqualTo(130 * 129 / 2f);
        });
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
            } catch (Exception | AssertionError thrown) {
                seen.add(thrown);
            }
            return true;
        });
        assertThat(seen).hasSize(ranks).allSatisfy(thrown -> assertThat(thrown).isInstanceOf(failure));
    }
}
