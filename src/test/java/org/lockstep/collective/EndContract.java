package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.lockstep.collective.Ranks.assertAll;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LongEnough;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** How a communicator ends, well or badly, and what it counted until then. */
public interface EndContract extends Ranks {
    @Test
    default void whoDoesNotComeIsNamedWhenTheDeadlinePasses() throws Exception {
        LongEnough.oneOf(Duration.ofMillis(300), Duration.ofSeconds(20), this::assertNamedAfter);
    }

    private void assertNamedAfter(Duration limit) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(3)).withOperationTimeout(limit);
        CountDownLatch over = new CountDownLatch(2);
        CyclicBarrier together = new CyclicBarrier(2); // who is late in leaving the meeting shall not be missed, too
        List<CommunicatorException> failures = onEvery(3, spec, communicator -> {
            if (communicator.rankInGroup() == 2) {
                over.await();
                return null;
            }
            together.await();
            CommunicatorException failure = catchThrowableOfType(
                    CommunicatorException.class,
                    () -> communicator.allReduce(HostBuffer.allocate(DataType.F32, 4), ReduceOp.SUM));
            over.countDown();
            return failure;
        });
        assertAll(
                failures.subList(0, 2),
                ErrorCode.COLLECTIVE_TIMEOUT,
                "all_reduce #1 sum f32[4]",
                "={0,1,2}",
                limit.toMillis() / 1000.0 + " s",
                "rank 2 did not come");
    }

    @Test
    default void aPeerThatLeftIsNamed() {
        CyclicBarrier together = new CyclicBarrier(3);
        CountDownLatch told = new CountDownLatch(2);
        List<CommunicatorException> failures = onEvery(3, communicator -> {
            communicator.barrier();
            together.await();
            if (communicator.rankInGroup() == 1) {
                communicator.close();
                communicator.close();
                told.await(); // also when the others have ended the world over it
                return catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            told.countDown();
            return failure;
        });
        assertAll(
                List.of(failures.get(0), failures.get(2)),
                ErrorCode.PEER_LOST,
                "barrier #2",
                "rank 1 left the group",
                "culprit : rank 1  host");
        assertAll(List.of(failures.get(1)), ErrorCode.COMMUNICATOR_CLOSED, "after close");
    }

    @Test
    default void abortFreesBlockedPeersAndTheFirstCauseStays() {
        List<CommunicatorException> failures = onEvery(4, communicator -> {
            if (communicator.rankInGroup() == 2) {
                communicator.abort(new IllegalStateException("the row is cursed"));
                communicator.abort(new IllegalStateException("second thoughts"));
            }
            return catchThrowableOfType(
                    CommunicatorException.class,
                    () -> communicator.allReduce(HostBuffer.allocate(DataType.F32, 10_000), ReduceOp.SUM));
        });
        assertAll(failures, ErrorCode.ABORTED, "aborted because of rank 2", "the row is cursed");
    }

    @Test
    default void abortFromAnotherThreadFreesTheOneInside() {
        List<CommunicatorException> failures = onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 0) {
                Thread watchdog = new Thread(() -> communicator.abort(new IllegalStateException("killed")), "watchdog");
                watchdog.start();
            }
            return catchThrowableOfType(
                    CommunicatorException.class,
                    () -> communicator.receive(HostBuffer.allocate(DataType.F32, 4), 1 - communicator.rankInGroup()));
        });
        assertAll(failures, ErrorCode.ABORTED, "because of rank 0", "killed");
    }

    @Test
    default void anInterruptEndsTheWaitAndFreesThePeers() {
        CountDownLatch over = new CountDownLatch(2);
        List<CommunicatorException> failures = onEvery(3, communicator -> {
            if (communicator.rankInGroup() == 2) {
                over.await(); // computing, it seems
                CommunicatorException failure = null;
                while (failure == null) { // the others came to the first barrier before they failed
                    failure = catchThrowableOfType(CommunicatorException.class, communicator::barrier);
                }
                return failure;
            }
            if (communicator.rankInGroup() == 1) {
                Thread.currentThread().interrupt();
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            assertThat(Thread.interrupted()).isEqualTo(communicator.rankInGroup() == 1);
            over.countDown();
            return failure;
        });
        assertAll(failures, ErrorCode.ABORTED, "because of rank 1", "interrupted");
    }

    @Test
    default void trafficIsCounted() {
        onEvery(2, communicator -> {
            assertThat(communicator.traffic()).isEqualTo(Traffic.NONE);
            communicator.allReduce(HostBuffer.allocate(DataType.F32, 100), ReduceOp.SUM);
            communicator.barrier();
            assertThat(communicator.traffic().operations()).isEqualTo(2);
            assertThat(communicator.traffic().bytes()).isEqualTo(400);
            assertThat(communicator.traffic(OperationTag.Operation.ALL_REDUCE))
                    .extracting(Traffic::operations, Traffic::bytes)
                    .containsExactly(1L, 400L);
            assertThat(communicator.traffic(OperationTag.Operation.BARRIER).operations())
                    .isEqualTo(1);
            assertThat(communicator.traffic(OperationTag.Operation.SEND)).isEqualTo(Traffic.NONE);
            assertThat(communicator.traffic().nanos()).isPositive();
            return true;
        });
    }

    @EverySize
    @FaultCase("F28")
    default void afterCloseEveryOperationIsRefused(int size) {
        onEvery(size, communicator -> {
            int me = communicator.rankInGroup();
            int peer = (me + 1) % size;
            HostBuffer x = HostBuffer.allocate(DataType.F32, 1);
            HostBuffer all = HostBuffer.allocate(DataType.F32, size);
            HostBuffer other = HostBuffer.allocate(DataType.F32, size);
            List<Consumer<Communicator>> calls = new ArrayList<>(List.of(
                    group -> group.allReduce(x, ReduceOp.SUM),
                    group -> group.reduce(x, ReduceOp.SUM, 0),
                    group -> group.broadcast(x, 0),
                    group -> group.allGather(x, all),
                    group -> group.reduceScatter(all, x, ReduceOp.SUM),
                    group -> group.gather(x, all, 0),
                    group -> group.scatter(all, x, 0),
                    group -> group.allToAll(all, other),
                    Communicator::barrier,
                    group -> group.broadcastObject("x", 0, String.class),
                    group -> group.allGatherObject("x", String.class),
                    group -> group.async(Communicator::barrier),
                    group -> group.grouped(Communicator::barrier)));
            if (size > 1) {
                calls.add(group -> group.send(x, peer));
                calls.add(group -> group.receive(x, peer));
                calls.add(group -> group.sendObject("x", peer));
                calls.add(group -> group.receiveObject(peer, String.class));
            }
            communicator.barrier();
            communicator.close();
            for (Consumer<Communicator> call : calls) {
                CommunicatorException failure =
                        catchThrowableOfType(CommunicatorException.class, () -> call.accept(communicator));
                assertAll(List.of(failure), ErrorCode.COMMUNICATOR_CLOSED, "in world[0]=", "after close");
            }
            assertThat(communicator.traffic().operations()).isEqualTo(1);
            return true;
        });
    }

    @Test
    default void aWaitIsCountedOnceHoweverShortTheMessage() {
        CountDownLatch late = new CountDownLatch(1);
        onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 1) {
                late.await();
                communicator.allReduce(HostBuffer.allocate(DataType.F32, 1), ReduceOp.SUM);
                return true;
            }
            long start = System.nanoTime();
            Work work =
                    communicator.async(queue -> queue.allReduce(HostBuffer.allocate(DataType.F32, 1), ReduceOp.SUM));
            late.countDown();
            work.await();
            assertThat(communicator.traffic().nanos()).isBetween(1L, System.nanoTime() - start);
            return true;
        });
    }
}
