package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;
import static org.lockstep.collective.Ranks.assertAll;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAccumulator;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** Ranks that disagree are told so at that very operation, both sides named; nobody waits for the deadline. */
public interface MisuseContract extends Ranks {
    private static HostBuffer floats(int length) {
        return HostBuffer.allocate(DataType.F32, length);
    }

    /** One rank does {@code odd} where the others do {@code usual}. */
    private void assertMismatch(
            String faultCase,
            int size,
            int culprit,
            Consumer<Communicator> usual,
            Consumer<Communicator> odd,
            String... texts)
            throws Exception {
        whileTheyHang(limit -> {
            LongAccumulator slowest = new LongAccumulator(Math::max, 0);
            WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size)).withOperationTimeout(limit);
            List<CommunicatorException> failures = failuresOf(size, spec, communicator -> {
                communicator.barrier(Duration.ofMinutes(1));
                long start = System.nanoTime();
                try {
                    (communicator.rankInGroup() == culprit ? odd : usual).accept(communicator);
                    // A transfer that nobody receives, and queued work, show now. Who waits here shall not give up
                    // before those whose operation hangs on a device do, and ask.
                    communicator.barrier(Duration.ofMinutes(1));
                } finally {
                    slowest.accumulate(System.nanoTime() - start);
                }
                return null;
            });
            if (limit.equals(OperationTerms.DEFAULT.timeout())) { // elsewhere what hangs is seen by its deadline alone
                FaultLog.released(faultCase, Duration.ofNanos(slowest.get()));
            }
            assertAll(failures, ErrorCode.COLLECTIVE_MISMATCH, texts);
        });
    }

    @Test
    @FaultCase("F21")
    default void anotherOperationIsToldToEveryRank() throws Exception {
        assertMismatch(
                "F21",
                3,
                1,
                all -> all.allReduce(floats(1000), ReduceOp.SUM),
                all -> all.allGather(floats(1000), floats(3000)),
                "all_reduce #2 sum f32[1000]",
                "all_gather #2 f32[1000]",
                "rank 1",
                "operation");
        assertMismatch(
                "F21",
                3,
                2,
                all -> all.reduceScatter(floats(30), floats(10), ReduceOp.SUM),
                all -> all.allToAll(floats(30), floats(30)),
                "reduce_scatter #2 sum f32[10]",
                "all_to_all #2 f32[30]",
                "operation");
        assertMismatch(
                "F21",
                2,
                0,
                all -> all.scatter(floats(20), floats(10), 1),
                all -> all.gather(floats(10), floats(20), 1),
                "scatter #2 f32[10] root 1",
                "gather #2 f32[10] root 1");
        assertMismatch(
                "F21",
                3,
                0,
                all -> all.allGather(floats(2), floats(6)),
                all -> all.allGatherV(floats(2), floats(6), 2, 2, 2),
                "all_gather #2 f32[2]",
                "all_gather_v #2 f32[6]");
        assertMismatch(
                "F21",
                3,
                0,
                all -> all.reduce(floats(2), ReduceOp.SUM, 0),
                all -> all.allReduce(floats(2), ReduceOp.SUM),
                "reduce #2 sum f32[2] root 0",
                "all_reduce #2 sum f32[2]");
        assertMismatch(
                "F21",
                3,
                0,
                all -> all.broadcastObject(all.rankInGroup() == 1 ? "x" : null, 1, String.class),
                all -> all.allGatherObject("x", String.class),
                "broadcast_object #2",
                "all_gather_object #2");
    }

    @Test
    @FaultCase("F22")
    default void anotherCountIsToldToEveryRank() throws Exception {
        for (int length : new int[] {1, 100, 10_000}) {
            assertMismatch(
                    "F22",
                    4,
                    2,
                    all -> all.allReduce(floats(length + 1), ReduceOp.SUM),
                    all -> all.allReduce(floats(length), ReduceOp.SUM),
                    "f32[" + length + "]",
                    "f32[" + (length + 1) + "]",
                    "count differ",
                    "rank 2");
        }
        assertMismatch(
                "F22",
                3,
                2,
                all -> all.allToAll(floats(9), floats(9)),
                all -> all.allToAll(floats(6), floats(6)),
                "f32[9]",
                "f32[6]",
                "count differ");
        assertMismatch(
                "F22",
                2,
                1,
                all -> all.gather(floats(3), floats(6), 0),
                all -> all.gather(floats(4), null, 0),
                "f32[3]",
                "f32[4]",
                "count differ");
        assertMismatch(
                "F22",
                2,
                1,
                all -> all.broadcast(floats(0), 0),
                all -> all.broadcast(floats(4), 0),
                "f32[0]",
                "f32[4]",
                "count differ");
        int most = 1 << 20; // two ranks share the work of more
        assertMismatch(
                "F22",
                2,
                1,
                all -> all.allReduce(floats(most), ReduceOp.SUM),
                all -> all.allReduce(floats(most + 1), ReduceOp.SUM),
                "f32[" + most + "]",
                "f32[" + (most + 1) + "]",
                "count differ");
    }

    @Test
    @FaultCase("F22")
    default void anotherTypeOpOrRootIsToldToEveryRank() throws Exception {
        assertMismatch(
                "F22",
                2,
                1,
                all -> all.allReduce(floats(4), ReduceOp.SUM),
                all -> all.allReduce(HostBuffer.allocate(DataType.I32, 4), ReduceOp.SUM),
                "sum f32[4]",
                "sum i32[4]",
                "type differ");
        assertMismatch(
                "F22",
                2,
                1,
                all -> all.allReduce(floats(4), ReduceOp.MIN),
                all -> all.allReduce(floats(4), ReduceOp.MAX),
                "reduce op differ");
        assertMismatch(
                "F22",
                3,
                1,
                all -> all.reduceScatter(floats(6), floats(2), ReduceOp.SUM),
                all -> all.reduceScatter(floats(6), floats(2), ReduceOp.premultipliedSum(2)),
                "reduce op differ");
        assertMismatch(
                "F22",
                2,
                1,
                all -> all.broadcast(floats(4), 0),
                all -> all.broadcast(floats(4), 1),
                "root 0",
                "root differ");
        assertMismatch(
                "F22",
                3,
                1,
                all -> all.reduce(floats(4), ReduceOp.SUM, 0),
                all -> all.reduce(floats(4), ReduceOp.SUM, 2),
                "root 0",
                "root 2",
                "root differ");
        assertMismatch(
                "F22",
                3,
                0,
                all -> all.gather(floats(1), floats(3), 0),
                all -> all.gather(floats(1), floats(3), 1),
                "root differ");
        assertMismatch(
                "F22",
                3,
                2,
                all -> all.scatter(floats(3), floats(1), 0),
                all -> all.scatter(floats(3), floats(1), 2),
                "root differ");
    }

    @Test
    @FaultCase("F22")
    default void blocksThatDifferAreToldToEveryRankThoughTheirTotalIsOne() throws Exception {
        assertMismatch(
                "F22",
                3,
                2,
                all -> all.allGatherV(floats(all.rankInGroup() == 0 ? 1 : 2), floats(5), 1, 2, 2),
                all -> all.allGatherV(floats(2), floats(5), 2, 1, 2),
                "all_gather_v #2 f32[5]",
                "counts of the blocks differ");
        assertMismatch(
                "F22",
                3,
                1,
                all -> all.reduceScatterV(floats(5), floats(all.rankInGroup() == 0 ? 1 : 2), ReduceOp.SUM, 1, 2, 2),
                all -> all.reduceScatterV(floats(5), floats(2), ReduceOp.SUM, 2, 2, 1),
                "reduce_scatter_v #2 sum f32[5]",
                "counts of the blocks differ");
    }

    @Test
    @FaultCase("F23")
    default void anotherOrderOrASkippedOperationIsToldToEveryRank() throws Exception {
        assertMismatch(
                "F23",
                2,
                1,
                all -> {
                    all.allReduce(floats(4), ReduceOp.SUM);
                    all.broadcast(floats(4), 0);
                },
                all -> {
                    all.broadcast(floats(4), 0);
                    all.allReduce(floats(4), ReduceOp.SUM);
                },
                "all_reduce #2",
                "broadcast #2");
        assertMismatch(
                "F23",
                3,
                1,
                all -> Stream.of(1, 2, 3).forEach(i -> all.allReduce(floats(4), ReduceOp.SUM)),
                all -> Stream.of(1, 2).forEach(i -> all.allReduce(floats(4), ReduceOp.SUM)),
                "all_reduce #4 sum f32[4]",
                "barrier #4",
                "rank 1");
        assertMismatch(
                "F23",
                3,
                1,
                all -> all.async(queue -> queue.allReduce(floats(4), ReduceOp.SUM)),
                all -> all.async(queue -> queue.broadcast(floats(4), 1)),
                "all_reduce #2",
                "broadcast #2");
    }

    @Test
    @FaultCase("F21")
    default void aTransferAgainstAnOperationOfTheGroupIsToldToEveryRank() throws Exception {
        assertMismatch(
                "F21",
                3,
                2,
                Communicator::barrier,
                all -> all.receive(floats(4), 0),
                "barrier #2",
                "receive #1 f32[4]");
        assertMismatch(
                "F21",
                2,
                0,
                all -> {},
                all -> {
                    all.send(floats(4), 1);
                    all.barrier(); // buffered, the message looks received to its sender until the next
                },
                "send #1 f32[4]",
                "barrier #2");
    }

    @Test
    @FaultCase("F21")
    default void transfersThatDifferAreToldToBoth() throws Exception {
        assertMismatch(
                "F21",
                2,
                1,
                all -> all.send(floats(4), 1),
                all -> all.receive(floats(5), 0),
                "f32[4]",
                "f32[5]",
                "count");
        assertMismatch(
                "F21",
                2,
                1,
                all -> all.send(floats(4), 1),
                all -> all.receive(HostBuffer.allocate(DataType.BF16, 4), 0),
                "f32[4]",
                "bf16[4]",
                "type");
        assertMismatch(
                "F21",
                2,
                1,
                all -> all.sendObject("x", 1),
                all -> all.receive(floats(5), 0),
                "send_object #1",
                "receive #1 f32[5]");
    }

    @Test
    @FaultCase("F24")
    default void twoThreadsInOneCommunicatorAreRefused() {
        CountDownLatch refused = new CountDownLatch(1);
        onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 1) {
                refused.await();
                communicator.send(Buffer.ofInts(7), 0);
                communicator.barrier();
                return true;
            }
            HostBuffer got = Buffer.ofInts(0);
            Thread inside = new Thread(() -> communicator.receive(got, 1), "the-first");
            inside.start();
            await().atMost(Duration.ofMinutes(1))
                    .until(() -> !communicator.flight().underWay().isEmpty());
            for (Consumer<Communicator> second : List.<Consumer<Communicator>>of(
                    all -> all.send(got, 1),
                    Communicator::barrier,
                    all -> all.allReduce(got, ReduceOp.SUM),
                    all -> all.grouped(Communicator::barrier),
                    all -> all.async(Communicator::barrier).await())) {
                CommunicatorException failure =
                        catchThrowableOfType(CommunicatorException.class, () -> second.accept(communicator));
                assertAll(List.of(failure), ErrorCode.CONCURRENT_USE, "'the-first'", "by thread '");
            }
            refused.countDown();
            inside.join();
            assertThat(got.get(0)).isEqualTo(7); // the first was not disturbed
            communicator.barrier();
            return true;
        });
    }

    @Test
    default void anAllToAllVWhosePairsDisagreeIsToldToEveryRank() {
        for (int unit : new int[] {1, 5000}) {
            List<CommunicatorException> failures = failuresOf(3, communicator -> {
                int rank = communicator.rankInGroup();
                long[] even = {unit, unit, unit};
                long[] odd = {unit, 2L * unit, unit}; // rank 0 has more for rank 1 than that expects
                communicator.allToAllV(
                        HostBuffer.allocate(DataType.F32, (rank == 0 ? 4L : 3L) * unit),
                        rank == 0 ? odd : even,
                        HostBuffer.allocate(DataType.F32, 3L * unit),
                        even);
                communicator.barrier();
                return null;
            });
            assertAll(failures, ErrorCode.COLLECTIVE_MISMATCH, "all_to_all_v #1", "rank 0", "rank 1");
        }
    }
}
