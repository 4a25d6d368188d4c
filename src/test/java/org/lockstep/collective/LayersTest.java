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
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LongEnough;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Groups over any number of hosts with any numbers of ranks: large data go through layers, and every bit is as if they did not. */
@Timeout(180)
class LayersTest {
    /** More than goes flat in any of these groups, and not a multiple of anything. */
    private static final int LARGE = 34_003;

    /** A party that pretends to be on some host. */
    private record Seated(Rendezvous meeting, Venue venue) implements Rendezvous {
        @Override
        public int index() {
            return meeting.index();
        }

        @Override
        public int size() {
            return meeting.size();
        }

        @Override
        public List<String> allGather(String record) {
            return meeting.allGather(record);
        }
    }

    /** One rank's part. */
    private interface Part {
        void run(Communicator all) throws Exception;
    }

    /** How each rank's part ended that failed. */
    private static List<Throwable> onEvery(List<Integer> ranksByHost, Duration limit, Part part) {
        List<Venue> seats = ranksByHost.stream()
                .flatMap(ranks -> Collections.nCopies(ranks, new Venue()).stream())
                .toList();
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(seats.size()))
                .withKinds(Set.of(GroupKind.WORLD))
                .withOperationTimeout(limit)
                .withTransports(Set.of(TransportKind.THREAD, TransportKind.TCP));
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        LocalWorld.of(seats.size()).withDeadline(Duration.ofSeconds(150)).run(meeting -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(new Seated(meeting, seats.get(meeting.index())), backend, spec)) {
                part.run(world.communicators().world());
                world.communicators().world().barrier();
            } catch (Exception | AssertionError failure) {
                failures.add(failure);
            }
            return true;
        });
        return failures;
    }

    private static List<Integer> hosts(String ranks) {
        return Arrays.stream(ranks.split("\\+")).map(Integer::parseInt).toList();
    }

    private static long[] ragged(int ranks) {
        return IntStream.range(0, ranks)
                .mapToLong(rank -> (rank * 5L + 3) % 4 * (LARGE / ranks))
                .toArray();
    }

    private static final String FOUR_ON_FORTY =
            "4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4+4";

    @ParameterizedTest
    @ValueSource(strings = {"3+1", "2+3+5+7+11", "32+32", "1+64+7", "40+40+40", FOUR_ON_FORTY})
    void everyOperationHasTheBitsOfOneThatKnowsNoHosts(String ranksByHost) {
        Values values = new Values();
        List<Throwable> failures = onEvery(hosts(ranksByHost), Duration.ofSeconds(120), all -> {
            for (int length : new int[] {7, LARGE}) {
                assertReduces(all, values, DataType.F32, ReduceOp.Kind.SUM, length);
                assertReduces(all, values, DataType.BF16, ReduceOp.Kind.AVG, length);
                for (int root : new int[] {0, all.size() / 2, all.size() - 1}) {
                    assertReducesTo(all, values, length, root);
                    HostBuffer told = given(DataType.I64, length, all.rankInGroup());
                    all.broadcast(told, root);
                    assertHolds(told, filled(DataType.I64, length, root));
                }
            }
            assertNotANumber(all);
            assertScatters(all, values);
            assertGathers(all, ragged(all.size()));
            assertGathers(
                    all, IntStream.range(0, all.size()).mapToLong(rank -> 1).toArray());
            assertMoves(all);
        });
        assertThat(failures).isEmpty();
    }

    private static void assertReduces(Communicator all, Values values, DataType type, ReduceOp.Kind kind, int length) {
        HostBuffer expected = values.reduced(type, kind, length, all.size());
        HostBuffer send = given(type, length, all.rankInGroup());
        HostBuffer receive = room(type, length);
        all.allReduce(send, receive, Values.op(kind, all.rankInGroup()));
        assertHolds(receive, expected);
        assertHolds(send, filled(type, length, all.rankInGroup()));
        all.allReduce(send, Values.op(kind, all.rankInGroup()));
        assertHolds(send, expected);
    }

    /** What is not a number has the same bits everywhere, whatever those of a rank say. */
    private static void assertNotANumber(Communicator all) {
        HostBuffer x = HostBuffer.allocate(DataType.F32, LARGE);
        x.floats()[LARGE - 1] = all.rankInGroup() == 1 ? Float.intBitsToFloat(0xffc0_1234) : 1;
        all.allReduce(x, ReduceOp.SUM);
        assertThat(Float.floatToRawIntBits(x.floats()[LARGE - 1])).isEqualTo(0x7fc0_0000);
    }

    private static void assertReducesTo(Communicator all, Values values, int length, int root) {
        ReduceOp.Kind kind = ReduceOp.Kind.PREMULTIPLIED_SUM;
        int rank = all.rankInGroup();
        HostBuffer send = given(DataType.F16, length, rank);
        HostBuffer receive = room(DataType.F16, length);
        all.reduce(send, receive, Values.op(kind, rank), root);
        assertHolds(send, filled(DataType.F16, length, rank));
        if (rank == root) {
            assertHolds(receive, values.reduced(DataType.F16, kind, length, all.size()));
        } else {
            assertUntouched(receive);
        }
    }

    private static void assertScatters(Communicator all, Values values) {
        long[] counts = ragged(all.size());
        Blocks blocks = Blocks.of(counts);
        int length = (int) blocks.total();
        for (DataType type : List.of(DataType.F32, DataType.BF16)) {
            HostBuffer send = given(type, length, all.rankInGroup());
            HostBuffer receive = room(type, (int) blocks.count(all.rankInGroup()));
            all.reduceScatterV(send, receive, ReduceOp.SUM, counts);
            HostBuffer sum = values.reduced(type, ReduceOp.Kind.SUM, length, all.size());
            assertHolds(receive, (HostBuffer) blocks.of(sum, all.rankInGroup()));
            assertHolds(send, filled(type, length, all.rankInGroup()));
        }
    }

    private static void assertGathers(Communicator all, long... counts) {
        Blocks blocks = Blocks.of(counts);
        int rank = all.rankInGroup();
        HostBuffer whole = room(DataType.U8, (int) blocks.total());
        all.allGatherV(given(DataType.U8, (int) counts[rank], rank), whole, counts);
        for (int other = 0; other < all.size(); other++) {
            Values.assertSame((HostBuffer) blocks.of(whole, other), filled(DataType.U8, (int) counts[other], other));
        }
    }

    private static void assertMoves(Communicator all) {
        int ranks = all.size();
        int rank = all.rankInGroup();
        HostBuffer gathered = room(DataType.F32, ranks);
        all.gather(given(DataType.F32, 1, rank), gathered, 1);
        for (int other = 0; other < ranks && rank == 1; other++) {
            Values.assertSame(gathered.slice(other, 1), filled(DataType.F32, 1, other));
        }
        HostBuffer dealt = room(DataType.F32, 1);
        all.scatter(rank == 1 ? given(DataType.F32, ranks, 1) : null, dealt, 1);
        assertHolds(dealt, filled(DataType.F32, ranks, 1).slice(rank, 1));
        if (ranks > 32) { // all pairs of which have buffers then, more than one JVM has room for
            return;
        }
        HostBuffer swapped = room(DataType.F32, ranks);
        all.allToAll(given(DataType.F32, ranks, rank), swapped);
        for (int other = 0; other < ranks; other++) {
            Values.assertSame(
                    swapped.slice(other, 1), filled(DataType.F32, ranks, other).slice(rank, 1));
        }
    }

    /** One rank, and all of one host; each with what goes flat among those that go through layers. */
    @ParameterizedTest
    @ValueSource(strings = {"3+1", "1+17+3", "8+8+8"})
    void whoDiffersIsToldToEveryRank(String ranksByHost) {
        List<Integer> hosts = hosts(ranksByHost);
        int ranks = hosts.stream().mapToInt(Integer::intValue).sum();
        for (int first : new int[] {ranks - 1, ranks - hosts.get(hosts.size() - 1)}) {
            List<Throwable> failures = onEvery(hosts, Duration.ofSeconds(60), all -> {
                all.barrier(); // all are connected
                HostBuffer x = HostBuffer.allocate(DataType.F32, LARGE);
                if (all.rankInGroup() < first) {
                    all.broadcast(x, 1);
                } else {
                    all.allReduce(x.slice(0, 7), ReduceOp.SUM);
                }
            });
            assertThat(failures)
                    .hasSize(ranks)
                    .allSatisfy(failure -> assertThat(failure)
                            .isInstanceOfSatisfying(
                                    CommunicatorException.class,
                                    mismatch -> assertThat(mismatch.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH))
                            .hasMessageContaining("broadcast #2 f32[" + LARGE + "] root 1")
                            .hasMessageContaining("all_reduce #2 sum f32[7]"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"3+1", "1+17+3", "8+8+8"})
    void whoDoesNotComeIsNamedByEveryRank(String ranksByHost) throws Exception {
        LongEnough.oneOf(
                Duration.ofSeconds(2), Duration.ofSeconds(30), limit -> assertNamedAfter(limit, hosts(ranksByHost)));
    }

    private static void assertNamedAfter(Duration limit, List<Integer> hosts) {
        int ranks = hosts.stream().mapToInt(Integer::intValue).sum();
        CountDownLatch others = new CountDownLatch(ranks - 1);
        List<Throwable> failures = onEvery(hosts, Duration.ofMinutes(1), all -> {
            all.barrier();
            if (all.rankInGroup() == 2) {
                others.await();
                return;
            }
            try {
                all.within(limit).allReduce(HostBuffer.allocate(DataType.F32, LARGE), ReduceOp.SUM);
            } finally {
                others.countDown();
            }
        });
        assertThat(failures)
                .hasSize(ranks)
                .allSatisfy(failure -> assertThat(failure)
                        .isInstanceOfSatisfying(
                                CommunicatorException.class,
                                late -> assertThat(late.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT))
                        .hasMessageContaining("rank 2 did not come"));
    }
}
