package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.assertUntouched;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;
import static org.lockstep.collective.Values.room;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
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
        onEvery(ranks, venues, spec, part);
    }

    private static void onEvery(int ranks, int venues, WorldSpec spec, Part part) {
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
        "7, 3, TCP",
        "11, 2, SHARED",
        "17, 1, TCP",
        "20, 5, TCP",
        "21, 7, TCP",
        "23, 4, TCP",
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

    /** Up to 128 ranks trees become shares above 4 KiB a rank; of more ranks, halving above 64 KiB. */
    @ParameterizedTest
    @CsvSource({
        "17, 1, TCP",
        "20, 5, TCP",
        "20, 20, TCP",
        "21, 7, TCP",
        "23, 4, TCP",
        "32, 2, TCP",
        "32, 2, SHARED",
        "131, 1, TCP"
    })
    void reductionsAddInTheOrderOfRanksEitherSideOfAThreshold(int ranks, int venues, TransportKind kind) {
        Values values = new Values();
        int threshold = ranks > 128 ? 64 << 10 : ranks * 4 << 10;
        onEvery(ranks, venues, kind, communicator -> {
            for (int beyond : new int[] {0, 1}) {
                for (Joined joined : joined(ranks)) {
                    int length = threshold / joined.type.bytes() + beyond;
                    assertReduces(communicator, values, joined, length);
                    for (int root : new int[] {0, 11}) {
                        assertReducesTo(communicator, values, joined, length, root);
                    }
                    int block = threshold / joined.type.bytes() / ranks + beyond;
                    assertReduceScatters(communicator, values, joined, evenCounts(ranks, block));
                }
                long[] ragged = MovingContract.raggedCounts(ranks).get(0);
                ragged[ranks - 2] += threshold / 4 - Arrays.stream(ragged).sum() + beyond;
                assertReduceScatters(communicator, values, new Joined(DataType.F32, ReduceOp.Kind.SUM), ragged);
            }
        });
    }

    private record Joined(DataType type, ReduceOp.Kind op) {}

    /** What is tried of large data; of very many ranks, that share the cores of a machine, less. */
    private static List<Joined> joined(int ranks) {
        List<Joined> few = List.of(
                new Joined(DataType.F32, ReduceOp.Kind.PREMULTIPLIED_SUM),
                new Joined(DataType.BF16, ReduceOp.Kind.AVG));
        List<Joined> more = List.of(
                new Joined(DataType.F32, ReduceOp.Kind.MAX),
                new Joined(DataType.F64, ReduceOp.Kind.AVG),
                new Joined(DataType.BF16, ReduceOp.Kind.PREMULTIPLIED_SUM),
                new Joined(DataType.I8, ReduceOp.Kind.SUM));
        return ranks > 128 ? few : Stream.concat(few.stream(), more.stream()).toList();
    }

    private static long[] evenCounts(int ranks, int count) {
        long[] counts = new long[ranks];
        Arrays.fill(counts, count);
        return counts;
    }

    private static void assertReduces(Communicator communicator, Values values, Joined joined, int length) {
        int rank = communicator.rankInGroup();
        HostBuffer expected = values.reduced(joined.type, joined.op, length, communicator.size());
        HostBuffer send = given(joined.type, length, rank);
        HostBuffer receive = room(joined.type, length);
        communicator.allReduce(send, receive, Values.op(joined.op, rank));
        assertHolds(receive, expected);
        assertHolds(send, filled(joined.type, length, rank));
        communicator.allReduce(send, Values.op(joined.op, rank));
        assertHolds(send, expected);
    }

    private static void assertReducesTo(Communicator communicator, Values values, Joined joined, int length, int root) {
        int rank = communicator.rankInGroup();
        HostBuffer expected = values.reduced(joined.type, joined.op, length, communicator.size());
        HostBuffer send = given(joined.type, length, rank);
        HostBuffer receive = room(joined.type, length);
        communicator.reduce(send, receive, Values.op(joined.op, rank), root);
        assertHolds(send, filled(joined.type, length, rank));
        communicator.reduce(send, Values.op(joined.op, rank), root);
        if (rank == root) {
            assertHolds(receive, expected);
            assertHolds(send, expected);
        } else {
            assertUntouched(receive);
            assertHolds(send, filled(joined.type, length, rank));
        }
    }

    private static void assertReduceScatters(Communicator communicator, Values values, Joined joined, long... counts) {
        int rank = communicator.rankInGroup();
        Blocks blocks = Blocks.of(counts);
        int length = (int) blocks.total();
        HostBuffer expected =
                (HostBuffer) blocks.of(values.reduced(joined.type, joined.op, length, communicator.size()), rank);
        HostBuffer send = given(joined.type, length, rank);
        HostBuffer receive = room(joined.type, expected.size());
        if (Arrays.stream(counts).allMatch(count -> count == counts[0])) {
            communicator.reduceScatter(send, receive, Values.op(joined.op, rank));
        } else {
            communicator.reduceScatterV(send, receive, Values.op(joined.op, rank), counts);
        }
        assertHolds(receive, expected);
        assertHolds(send, filled(joined.type, length, rank));
        HostBuffer own = (HostBuffer) blocks.of(send, rank);
        communicator.reduceScatterV(send, own, Values.op(joined.op, rank), counts);
        Values.assertSame(own, expected);
    }

    /** Around the group: a rank that is no root has room for the ranks below it in the tree only. */
    @ParameterizedTest
    @CsvSource({"17, 1, TCP", "20, 5, TCP", "21, 7, TCP", "131, 1, TCP"})
    void whatIsGatheredComesToTheRootOnly(int ranks, int venues, TransportKind kind) {
        onEvery(ranks, venues, kind, communicator -> {
            int rank = communicator.rankInGroup();
            for (int root : new int[] {0, 11, ranks - 1}) {
                for (int length : new int[] {0, 1, 101}) {
                    HostBuffer send = given(DataType.F16, length, rank);
                    HostBuffer receive = room(DataType.F16, length * ranks);
                    communicator.gather(send, receive, root);
                    assertHolds(send, filled(DataType.F16, length, rank));
                    if (rank != root) {
                        assertUntouched(receive);
                        communicator.gather(send, null, root);
                        continue;
                    }
                    HostBuffer whole = room(DataType.F16, length * ranks);
                    HostBuffer own = whole.slice((long) rank * length, length);
                    own.copyFrom(send);
                    communicator.gather(own, whole, root);
                    assertHolds(whole, receive);
                    for (int i = 0; i < ranks; i++) {
                        Values.assertSame(whole.slice((long) i * length, length), filled(DataType.F16, length, i));
                    }
                }
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"17, 1, TCP", "20, 5, TCP", "131, 1, TCP"})
    void whatIsScatteredComesFromTheRoot(int ranks, int venues, TransportKind kind) {
        onEvery(ranks, venues, kind, communicator -> {
            int rank = communicator.rankInGroup();
            for (int root : new int[] {0, 11, ranks - 1}) {
                for (int length : new int[] {0, 1, 101}) {
                    HostBuffer all = given(DataType.BF16, length * ranks, root);
                    HostBuffer receive = room(DataType.BF16, length);
                    communicator.scatter(rank == root ? all : null, receive, root);
                    HostBuffer mine =
                            filled(DataType.BF16, length * ranks, root).slice((long) rank * length, length);
                    assertHolds(receive, mine);
                    if (rank == root) {
                        assertHolds(all, filled(DataType.BF16, length * ranks, root));
                        HostBuffer own = all.slice((long) rank * length, length);
                        communicator.scatter(all, own, root);
                        assertHolds(all, filled(DataType.BF16, length * ranks, root));
                    } else {
                        communicator.scatter(null, receive, root);
                        assertHolds(receive, mine);
                    }
                }
            }
        });
    }

    /** Up to 16 KiB a rank along a tree, above it scattered first, in shares of one length or not, and then around a ring. */
    @ParameterizedTest
    @CsvSource({"17, 1, TCP", "20, 20, TCP", "21, 7, TCP", "23, 4, TCP", "24, 8, SHARED", "131, 1, TCP"})
    void whatIsBroadcastIsTheSameEitherSideOfAThreshold(int ranks, int venues, TransportKind kind) {
        int threshold = ranks * (16 << 10) / DataType.F64.bytes();
        double[] told = filled(DataType.F64, threshold + ranks, 3).doubles();
        onEvery(ranks, venues, kind, communicator -> {
            HostBuffer all = HostBuffer.allocate(DataType.F64, threshold + ranks);
            for (int length : new int[] {threshold, threshold + ranks, threshold + ranks / 2 + 1}) {
                for (int root : new int[] {0, 11, ranks - 1}) {
                    Arrays.fill(all.doubles(), -1);
                    HostBuffer some = all.slice(0, length);
                    if (communicator.rankInGroup() == root) {
                        System.arraycopy(told, 0, all.doubles(), 0, length);
                    }
                    communicator.broadcast(some, root);
                    assertThat(Arrays.equals(all.doubles(), 0, length, told, 0, length))
                            .isTrue();
                    assertThat(Arrays.stream(all.doubles(), length, threshold + ranks))
                            .allMatch(each -> each == -1);
                }
            }
        });
    }

    /** An all-reduce beyond it, whose result is broadcast so; and an object. */
    @ParameterizedTest
    @CsvSource({"131, 1, TCP"})
    void whatIsLargeIsBroadcastSoByOtherOperationsToo(int ranks, int venues, TransportKind kind) {
        int length = ranks * (16 << 10) / DataType.F64.bytes() + 7;
        String told = "lockstep ".repeat(ranks * (16 << 10) / 9 + 1);
        onEvery(ranks, venues, kind, communicator -> {
            HostBuffer all = HostBuffer.allocate(DataType.F64, length);
            Arrays.fill(all.doubles(), communicator.rankInGroup());
            communicator.allReduce(all, ReduceOp.MAX);
            assertThat(Arrays.stream(all.doubles()).allMatch(each -> each == ranks - 1))
                    .isTrue();
            String heard = communicator.broadcastObject(communicator.rankInGroup() == 5 ? told : null, 5, String.class);
            assertThat(heard.equals(told)).isTrue();
        });
    }

    /** How many elements one rank sends another: 0 to 3 units, not by their distance alone. */
    private static int count(int unit, int from, int to) {
        return (from * (to % 3 + 1) + to / 5) % 4 * unit;
    }

    private static long[] counts(int ranks, IntUnaryOperator of) {
        return IntStream.range(0, ranks).map(of).asLongStream().toArray();
    }

    @ParameterizedTest
    @CsvSource({"17, 1, TCP", "20, 5, TCP", "130, 2, TCP"})
    void allSendToAll(int ranks, int venues, TransportKind kind) {
        onEvery(ranks, venues, kind, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : new int[] {0, 1, 101}) {
                HostBuffer send = HostBuffer.allocate(DataType.I32, length * ranks);
                for (int i = 0; i < send.size(); i++) {
                    send.ints()[i] = rank << 20 | i;
                }
                HostBuffer receive = HostBuffer.allocate(DataType.I32, length * ranks);
                communicator.allToAll(send, receive);
                for (int i = 0; i < receive.size(); i++) {
                    int from = i / length;
                    assertElement(receive.ints()[i], from << 20 | rank * length + i % length);
                    assertElement(send.ints()[i], rank << 20 | i);
                }
            }
            for (int unit : new int[] {0, 1, 33}) {
                long[] out = counts(ranks, peer -> count(unit, rank, peer));
                long[] in = counts(ranks, peer -> count(unit, peer, rank));
                HostBuffer send = HostBuffer.allocate(
                        DataType.I32, (int) Arrays.stream(out).sum());
                HostBuffer receive = HostBuffer.allocate(
                        DataType.I32, (int) Arrays.stream(in).sum());
                int at = 0;
                for (int peer = 0; peer < ranks; peer++) {
                    for (int i = 0; i < out[peer]; i++) {
                        send.ints()[at++] = rank << 20 | peer << 8 | i;
                    }
                }
                communicator.allToAllV(send, out, receive, in);
                at = 0;
                for (int peer = 0; peer < ranks; peer++) {
                    for (int i = 0; i < in[peer]; i++) {
                        assertElement(receive.ints()[at++], peer << 20 | rank << 8 | i);
                    }
                }
            }
        });
    }

    /** As AssertJ would, for millions of them. */
    private static void assertElement(int actual, int expected) {
        if (actual != expected) {
            throw new AssertionError(actual + " is not " + expected);
        }
    }

    /** Rank 5 gives rank 9, who has room for two, three elements; whoever has all that is its own hears of it in what comes next. */
    @ParameterizedTest
    @CsvSource({"17, 1, TCP", "130, 2, TCP"})
    void anotherLengthOfABlockIsToldToEveryRank(int ranks, int venues, TransportKind kind) {
        assertTold(ranks, venues, kind, "all_to_all_v #2 f32[3]", "all_to_all_v #2 f32[2]", communicator -> {
            long[] out = evenCounts(ranks, 2);
            long[] in = evenCounts(ranks, 2);
            if (communicator.rankInGroup() == 5) {
                out[9] = 3;
            }
            HostBuffer send =
                    HostBuffer.allocate(DataType.F32, Arrays.stream(out).sum());
            communicator.allToAllV(send, out, HostBuffer.allocate(DataType.F32, 2L * ranks), in);
            communicator.barrier();
        });
    }

    @ParameterizedTest
    @CsvSource({
        "6, 2, TCP",
        "7, 3, TCP",
        "23, 4, TCP",
        "9, 3, SHARED",
        "8, 2, TCP",
        "8, 4, SHARED",
        "16, 4, TCP",
        "18, 3, TCP",
        "20, 1, TCP"
    })
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

    /** Three or five ranks a host, two of whom belong together: each host has the last rank of a group of its own. */
    @ParameterizedTest
    @ValueSource(ints = {6, 10})
    void hostsWhoseRanksDoNotFollowEachOtherAddInTheirOrderToo(int ranks) {
        Values values = new Values();
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withData(ranks / 2))
                .withKinds(Set.of(GroupKind.WORLD))
                .withTransports(Set.of(TransportKind.THREAD, TransportKind.TCP));
        onEvery(ranks, 2, spec, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : new int[] {0, 1, 100, 5003}) {
                HostBuffer sum = values.reduced(DataType.BF16, ReduceOp.Kind.SUM, length, ranks);
                HostBuffer reduced = given(DataType.BF16, length, rank);
                communicator.allReduce(reduced, ReduceOp.SUM);
                assertHolds(reduced, sum);
                HostBuffer atLast = given(DataType.BF16, length, rank);
                communicator.reduce(atLast, ReduceOp.SUM, ranks - 1);
                assertHolds(atLast, rank == ranks - 1 ? sum : filled(DataType.BF16, length, rank));
                HostBuffer block = room(DataType.F32, length);
                communicator.reduceScatter(given(DataType.F32, length * ranks, rank), block, ReduceOp.SUM);
                assertHolds(
                        block,
                        values.reduced(DataType.F32, ReduceOp.Kind.SUM, length * ranks, ranks)
                                .slice((long) rank * length, length));
                HostBuffer all = room(DataType.F32, length * ranks);
                communicator.allGather(given(DataType.F32, length, rank), all);
                for (int i = 0; i < ranks; i++) {
                    Values.assertSame(all.slice((long) i * length, length), filled(DataType.F32, length, i));
                    HostBuffer told = given(DataType.F32, length, rank);
                    communicator.broadcast(told, i);
                    assertHolds(told, filled(DataType.F32, length, i));
                }
            }
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

    /** A world with each of these. */
    private static Stream<Arguments> with(Arguments world, Object[] each) {
        return Arrays.stream(each).map(one -> {
            Object[] all = Arrays.copyOf(world.get(), 4);
            all[3] = one;
            return Arguments.of(all);
        });
    }

    static Stream<Arguments> faults() {
        return Stream.of(
                        Arguments.of(6, 2, TransportKind.TCP),
                        Arguments.of(7, 3, TransportKind.TCP),
                        Arguments.of(8, 2, TransportKind.TCP),
                        Arguments.of(17, 1, TransportKind.TCP),
                        Arguments.of(20, 1, TransportKind.TCP),
                        Arguments.of(20, 5, TransportKind.TCP),
                        Arguments.of(21, 7, TransportKind.TCP))
                .flatMap(world -> with(world, Fault.values()));
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

    static Stream<Arguments> broadcasts() {
        return IntStream.of(3, 5)
                .boxed()
                .flatMap(ranks -> IntStream.range(0, ranks).boxed().map(root -> Arguments.of(ranks, root)));
    }

    /** No rank differs from those near it, and each that waits may wait for one of another column. */
    @ParameterizedTest
    @MethodSource("broadcasts")
    void whatAHostIsInIsToldToEveryRank(int ranks, int root) {
        int first = (ranks + 1) / 2; // on the second host
        for (Fault other : Fault.values()) {
            if (other != Fault.SKIPPED && other != Fault.BROADCAST) {
                String words = other.words;
                assertTold(ranks, 2, TransportKind.TCP, "broadcast #2 f32[100] root " + root, words, communicator -> {
                    if (communicator.rankInGroup() < first) {
                        other.part.run(communicator);
                    } else {
                        communicator.broadcast(HostBuffer.allocate(DataType.F32, 100), root);
                    }
                });
            }
        }
        String other = "root " + (root + 1) % ranks;
        assertTold(
                ranks,
                2,
                TransportKind.TCP,
                "root " + root,
                other,
                communicator -> communicator.broadcast(
                        HostBuffer.allocate(DataType.F32, 100),
                        communicator.rankInGroup() < first ? root : (root + 1) % ranks));
    }

    @ParameterizedTest
    @CsvSource({"20, 5, TCP", "23, 4, TCP"})
    void aHostThatGathersIsToldToEveryRank(int ranks, int venues, TransportKind kind) {
        assertTold(ranks, venues, kind, "gather #2 f32[100] root 0", "all_reduce #2 sum f32[100]", communicator -> {
            if (communicator.rankInGroup() < (ranks + venues - 1) / venues) {
                HostBuffer all =
                        communicator.rankInGroup() == 0 ? HostBuffer.allocate(DataType.F32, 100L * ranks) : null;
                communicator.gather(HostBuffer.allocate(DataType.F32, 100), all, 0);
            } else {
                communicator.allReduce(HostBuffer.allocate(DataType.F32, 100), ReduceOp.SUM);
            }
        });
    }

    /** What the others are in where rank 5 all-reduces 100 floats: large data, that take other ways. */
    private enum Large {
        ALL_REDUCE(c -> c.allReduce(HostBuffer.allocate(DataType.F32, 30_000), ReduceOp.SUM)),
        REDUCE(c -> c.reduce(HostBuffer.allocate(DataType.F32, 30_000), ReduceOp.SUM, 3)),
        REDUCE_SCATTER(c -> c.reduceScatter(
                HostBuffer.allocate(DataType.I8, 5_000L * c.size()),
                HostBuffer.allocate(DataType.I8, 5_000),
                ReduceOp.SUM)),
        GATHER(c -> c.gather(
                HostBuffer.allocate(DataType.I8, 5_000),
                c.rankInGroup() == 3 ? HostBuffer.allocate(DataType.I8, 5_000L * c.size()) : null,
                3)),
        BROADCAST(c -> c.broadcast(HostBuffer.allocate(DataType.I8, 17_000L * c.size()), 3)),
        SCATTER(c -> c.scatter(
                c.rankInGroup() == 3 ? HostBuffer.allocate(DataType.I8, 5_000L * c.size()) : null,
                HostBuffer.allocate(DataType.I8, 5_000),
                3)),
        ALL_TO_ALL(c -> c.allToAll(
                HostBuffer.allocate(DataType.I8, 100L * c.size()), HostBuffer.allocate(DataType.I8, 100L * c.size())));

        final Part part;

        Large(Part part) {
            this.part = part;
        }
    }

    static Stream<Arguments> largeOperations() {
        return Stream.of(
                        Arguments.of(17, 1, TransportKind.TCP),
                        Arguments.of(20, 5, TransportKind.TCP),
                        Arguments.of(21, 7, TransportKind.TCP),
                        Arguments.of(130, 2, TransportKind.TCP))
                .flatMap(world -> with(world, Large.values()));
    }

    @ParameterizedTest
    @MethodSource("largeOperations")
    void whoIsNotInALargeOperationIsToldToEveryRank(int ranks, int venues, TransportKind kind, Large large) {
        String others = large.name().toLowerCase(Locale.ROOT) + " #2";
        assertTold(ranks, venues, kind, "all_reduce #2 sum f32[100]", others, communicator -> {
            if (communicator.rankInGroup() == 5) {
                communicator.allReduce(HostBuffer.allocate(DataType.F32, 100), ReduceOp.SUM);
            } else {
                large.part.run(communicator);
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"6, 2, TCP", "7, 3, TCP", "8, 2, TCP", "8, 4, SHARED", "17, 1, TCP", "20, 5, TCP"})
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

    /** Roots of one host, and of two; of small data and of large, which take other ways. */
    @ParameterizedTest
    @CsvSource({
        "6, 2, TCP, 1, 100",
        "6, 2, TCP, 3, 30000",
        "7, 3, TCP, 2, 100",
        "7, 3, TCP, 6, 30000",
        "8, 2, TCP, 1, 100",
        "8, 2, TCP, 4, 30000",
        "8, 4, SHARED, 3, 100",
        "17, 1, TCP, 1, 100",
        "17, 1, TCP, 1, 30000",
        "20, 5, TCP, 19, 30000",
        "21, 7, TCP, 19, 30000",
        "131, 1, TCP, 64, 30000",
        "130, 2, TCP, 64, 30000"
    })
    void anotherRootOfAReductionIsToldToEveryRank(int ranks, int venues, TransportKind kind, int root, int length) {
        assertTold(ranks, venues, kind, "root " + root, "root 0", communicator -> {
            HostBuffer x = HostBuffer.allocate(DataType.F32, length);
            communicator.reduce(x, ReduceOp.SUM, communicator.rankInGroup() == 5 ? root : 0);
        });
    }

    private static void assertTold(int ranks, int venues, TransportKind kind, String words, String others, Part part) {
        onEvery(
                ranks,
                venues,
                kind,
                communicator -> {
                    try {
                        communicator.barrier(); // in which some are still
                        part.run(communicator);
                    } catch (CommunicatorException failure) {
                        assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
                        assertThat(failure).hasMessageContaining(words).hasMessageContaining(others);
                        throw new Expected();
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
                .withOperationTimeout(
                        Duration.ofMinutes(10)) // beyond the test's: no deadline tells what a peer did not
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
