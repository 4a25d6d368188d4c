package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;
import static org.lockstep.collective.Values.assertHolds;
import static org.lockstep.collective.Values.filled;
import static org.lockstep.collective.Values.given;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Queued work: its order, its failures, its end. */
public interface AsyncContract extends Ranks {
    private static void pass(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        }
    }

    @EverySize
    default void queuedOperationsRunInOrderAndDirectOnesAfterThem(int size) {
        Values values = new Values();
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer sum = given(DataType.F32, 5000, rank);
            HostBuffer all = Values.room(DataType.F32, 5000 * size);
            List<String> order = new ArrayList<>();
            Work first = communicator.async(queue -> {
                queue.allReduce(sum, ReduceOp.SUM);
                order.add("first");
                order.add(Thread.currentThread().getName());
            });
            Work second = communicator.async(queue -> {
                queue.allGather(sum, all);
                queue.barrier();
                order.add("second");
            });
            HostBuffer max = given(DataType.I32, 10, rank);
            communicator.allReduce(max, ReduceOp.MAX);
            assertThat(first.isDone()).isTrue();
            assertThat(second.isDone()).isTrue();
            assertThat(order).containsExactly("first", "lockstep-" + communicator.group() + "-" + rank, "second");
            second.await();
            assertHolds(sum, values.reduced(DataType.F32, ReduceOp.Kind.SUM, 5000, size));
            Values.assertSame(all.slice(5000L * (size - 1), 5000), sum);
            assertHolds(max, values.reduced(DataType.I32, ReduceOp.Kind.MAX, 10, size));
            assertThat(first.failure()).isEmpty();
            assertThat(first.duration()).isPositive().isEqualTo(first.duration());
            first.await(Duration.ofSeconds(1));
            assertThat(first.future()).isCompleted();
            assertThat(communicator.traffic().operations()).isEqualTo(4);
            return true;
        });
    }

    @Test
    default void queuedAndDirectOperationsMayAlternateManyTimes() {
        onEvery(3, communicator -> {
            for (int round = 0; round < 300; round++) {
                HostBuffer x = Buffer.ofInts(round);
                HostBuffer y = Buffer.ofInts(2 * round);
                Work work = communicator.async(queue -> queue.allReduce(x, ReduceOp.SUM));
                if (round % 3 == 0) {
                    work.await();
                } else if (round % 3 == 1) {
                    work.future().join();
                }
                communicator.allReduce(y, ReduceOp.SUM);
                assertThat(x.get(0)).isEqualTo(3 * round);
                assertThat(y.get(0)).isEqualTo(6 * round);
            }
            return true;
        });
    }

    @Test
    default void awaitingForALimitEndsNothing() {
        CountDownLatch late = new CountDownLatch(1);
        onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 1) {
                late.await();
                communicator.barrier();
                return true;
            }
            Work work = communicator.async(Communicator::barrier);
            assertThatThrownBy(() -> work.await(Duration.ofMillis(5)))
                    .isInstanceOf(CommunicatorException.class)
                    .hasMessageContaining("COLLECTIVE_TIMEOUT")
                    .hasMessageContaining("not complete in 5 ms; it goes on");
            assertThatThrownBy(() -> work.await(Duration.ZERO)).hasMessageContaining("must be positive");
            assertThat(work.isDone()).isFalse();
            assertThat(work.failure()).isEmpty();
            assertThat(work.future().cancel(true)).isTrue(); // the view only
            Thread.currentThread().interrupt();
            CommunicatorException interrupted = catchThrowableOfType(CommunicatorException.class, work::await);
            assertThat(interrupted.code()).isEqualTo(ErrorCode.ABORTED);
            assertThat(Thread.interrupted()).isTrue();
            late.countDown();
            work.await(Duration.ofSeconds(Long.MAX_VALUE)); // longer than a clock can tell
            assertThat(work.failure()).isEmpty();
            return true;
        });
    }

    @Test
    default void anExceptionOfTheUsersFailsItsOwnWorkOnly() {
        onEvery(2, communicator -> {
            IllegalStateException mine = new IllegalStateException("not the communicator's fault");
            Work failed = communicator.async(queue -> {
                queue.barrier();
                throw mine;
            });
            Work checked = communicator.async(queue -> AsyncContract.<RuntimeException>sneak(new IOException("disk")));
            Work refused = communicator.async(queue -> queue.broadcast(Buffer.ofInts(1), 9));
            Work next = communicator.async(Communicator::barrier);
            assertThatThrownBy(failed::await).isSameAs(mine);
            assertThat(failed.failure()).containsSame(mine);
            assertThatThrownBy(() -> failed.future().join()).hasCause(mine);
            assertThatThrownBy(checked::await)
                    .isInstanceOf(CompletionException.class)
                    .hasCauseInstanceOf(IOException.class);
            assertThatThrownBy(refused::await).isInstanceOf(IllegalArgumentException.class);
            next.await();
            communicator.barrier();
            return true;
        });
    }

    @SuppressWarnings("unchecked") // how other languages throw checked exceptions where Java allows none
    private static <E extends Exception> void sneak(Exception checked) throws E {
        throw (E) checked;
    }

    @Test
    default void aFailureOfTheCommunicatorFailsAllThatIsQueued() {
        CyclicBarrier queued = new CyclicBarrier(2);
        onEvery(2, communicator -> {
            CountDownLatch ready = new CountDownLatch(1);
            List<String> ran = new ArrayList<>();
            Work first = communicator.async(queue -> {
                pass(ready);
                queue.allReduce(Buffer.ofInts(communicator.rankInGroup()), ReduceOp.SUM);
            });
            Work second = communicator.async(queue -> ran.add("second"));
            queued.await();
            communicator.abort(new IllegalStateException("the end"));
            ready.countDown();
            for (Work work : List.of(first, second)) {
                Ranks.assertAll(
                        List.of(catchThrowableOfType(CommunicatorException.class, work::await)),
                        ErrorCode.ABORTED,
                        "the end");
            }
            assertThat(ran).isEmpty();
            Ranks.assertAll(
                    List.of(catchThrowableOfType(
                            CommunicatorException.class, () -> communicator.async(Communicator::barrier))),
                    ErrorCode.ABORTED,
                    "the end");
            return true;
        });
    }

    @Test
    default void abortFreesWhoWaitsForQueuedWorkThatDoesNotEnd() {
        CountDownLatch over = new CountDownLatch(1);
        onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 0) {
                communicator.async(queue -> pass(over)); // what it waits for comes after the abort
                new Thread(() -> communicator.abort(new IllegalStateException("killed")), "watchdog").start();
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 0", "killed");
            communicator.close(); // and that is not held up either
            over.countDown();
            return true;
        });
    }

    @Test
    default void anInterruptEndsTheWaitForQueuedWorkAndFreesThePeers() {
        CountDownLatch over = new CountDownLatch(2);
        onEvery(2, communicator -> {
            boolean interrupted = communicator.rankInGroup() == 1;
            if (interrupted) {
                communicator.async(queue -> pass(over));
                Thread.currentThread().interrupt();
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            assertThat(Thread.interrupted()).isEqualTo(interrupted);
            Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 1", "interrupted");
            over.countDown();
            return true;
        });
    }

    @Test
    default void closeWaitsForWhatIsQueuedAndLeavesNoThread() {
        Values values = new Values();
        List<String> names = onEvery(3, communicator -> {
            HostBuffer x = given(DataType.F32, 10_000, communicator.rankInGroup());
            AtomicReference<Work> inner = new AtomicReference<>();
            Work outer = communicator.async(queue -> {
                queue.barrier();
                inner.set(queue.async(later -> later.allReduce(x, ReduceOp.SUM)));
            });
            communicator.close();
            assertThat(outer.failure()).isEmpty();
            assertThat(inner.get().isDone()).isTrue();
            inner.get().await();
            assertHolds(x, values.reduced(DataType.F32, ReduceOp.Kind.SUM, 10_000, 3));
            Ranks.assertAll(
                    List.of(catchThrowableOfType(
                            CommunicatorException.class, () -> communicator.async(Communicator::barrier))),
                    ErrorCode.COMMUNICATOR_CLOSED,
                    "async in",
                    "after close");
            return "lockstep-" + communicator.group() + "-" + communicator.rankInGroup();
        });
        await().until(() -> Thread.getAllStackTraces().keySet().stream()
                .map(Thread::getName)
                .noneMatch(names::contains));
    }

    @Test
    default void closingFromQueuedWorkEndsTheCommunicatorThere() {
        onEvery(2, communicator -> {
            CountDownLatch queued = new CountDownLatch(1);
            Work last = communicator.async(queue -> {
                pass(queued);
                queue.barrier();
                queue.close();
            });
            Work tooLate = communicator.async(Communicator::barrier);
            queued.countDown();
            last.future().join();
            Ranks.assertAll(
                    List.of(catchThrowableOfType(CommunicatorException.class, tooLate::await)),
                    ErrorCode.COMMUNICATOR_CLOSED,
                    "after close");
            return true;
        });
    }

    @Test
    default void queuedWorkCannotAwaitItself() {
        onEvery(2, communicator -> {
            Work outer = communicator.async(
                    queue -> queue.async(Communicator::barrier).await());
            assertThatThrownBy(outer::await)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("cannot await work of their own communicator");
            communicator.barrier(); // after the one that was queued in between
            return true;
        });
    }

    @Test
    default void whatHangsOnAFutureMayUseTheCommunicator() {
        onEvery(3, communicator -> {
            CountDownLatch hung = new CountDownLatch(1);
            HostBuffer x = Buffer.ofInts(communicator.rankInGroup());
            Work work = communicator.async(queue -> {
                pass(hung);
                queue.allReduce(x, ReduceOp.SUM);
            });
            work.future().thenRun(() -> communicator.allReduce(x, ReduceOp.MAX));
            hung.countDown();
            communicator.allReduce(x, ReduceOp.SUM); // third, though the second was never queued
            assertThat(x.get(0)).isEqualTo(9);
            return true;
        });
    }

    @Test
    @FaultCase("F28")
    default void twoGroupsOfARankHaveQueuesOfTheirOwn() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2))
                .withKinds(Set.of(GroupKind.WORLD, GroupKind.TENSOR));
        Values values = new Values();
        inWorld(4, spec, world -> {
            int rank = world.state().rank();
            Communicator all = world.communicators().world();
            Communicator pair = world.communicators().tensor();
            HostBuffer x = given(DataType.F32, 10_000, all.rankInGroup());
            HostBuffer y = given(DataType.F32, 10_000, pair.rankInGroup());
            Work one;
            Work other;
            if (rank % 2 == 0) { // done directly, these orders would block each other
                one = all.async(queue -> queue.allReduce(x, ReduceOp.SUM));
                other = pair.async(queue -> queue.allReduce(y, ReduceOp.SUM));
            } else {
                other = pair.async(queue -> queue.allReduce(y, ReduceOp.SUM));
                one = all.async(queue -> queue.allReduce(x, ReduceOp.SUM));
            }
            if (rank % 2 == 0) {
                one.await();
                other.await();
            } else {
                other.await();
                one.await();
            }
            assertHolds(x, values.reduced(DataType.F32, ReduceOp.Kind.SUM, 10_000, 4));
            assertHolds(y, values.reduced(DataType.F32, ReduceOp.Kind.SUM, 10_000, 2));
            return true;
        });
    }

    @Test
    default void groupedOperationsCanBeQueued() {
        onEvery(3, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer got = Values.room(DataType.I64, 1000);
            Work work = communicator.async(queue -> queue.grouped(group -> {
                group.send(filled(DataType.I64, 1000, rank));
                group.receive(got);
            }));
            work.await();
            assertHolds(got, filled(DataType.I64, 1000, (rank + 2) % 3));
            return true;
        });
    }
}
