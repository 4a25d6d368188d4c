package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.lockstep.collective.Ranks.assertAll;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.LongEnough;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** What holds for operations, of one, of a communicator, of a kind of groups: their deadlines, and what may travel. */
public interface TermsContract extends Ranks {
    /** An operation of two ranks, of three, that wait for the third until it is over. */
    private List<CommunicatorException> withoutTheThird(WorldSpec spec, Part<World, ?> waits) {
        CountDownLatch over = new CountDownLatch(2);
        CyclicBarrier together = new CyclicBarrier(2); // who is late in leaving the meeting shall not be missed, too
        return inWorld(3, spec, world -> {
            if (world.state().rank() == 2) {
                over.await();
                return null;
            }
            together.await();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, () -> waits.run(world));
            over.countDown();
            return failure;
        });
    }

    private static WorldSpec ofThree() {
        return WorldSpec.of(ParallelSizes.tensor(3)).withKinds(Set.of(GroupKind.WORLD, GroupKind.TENSOR));
    }

    private static Communicator sum(Communicator communicator) {
        communicator.allReduce(HostBuffer.allocate(DataType.F32, 4), ReduceOp.SUM);
        return communicator;
    }

    /** What waits for rank 2, that does not come. */
    enum Waits {
        ALL_REDUCE("all_reduce #1 sum f32[4]", TermsContract::sum),
        QUEUED("all_reduce #1 sum f32[4]", all -> all.async(TermsContract::sum).await()),
        BROADCAST("broadcast #1 f32[4]", all -> all.broadcast(HostBuffer.allocate(DataType.F32, 4), 2)),
        BARRIER("barrier #1", Communicator::barrier),
        BARRIER_IN_A_GROUP("barrier #1", all -> all.grouped(Communicator::barrier)),
        RECEIVE("receive #1 f32[4] from 2", all -> all.receive(HostBuffer.allocate(DataType.F32, 4), 2)),
        GROUPED(
                "receive #1 f32[4] from 2",
                all -> all.grouped(group -> group.receive(HostBuffer.allocate(DataType.F32, 4), 2))),
        BROADCAST_OBJECT("broadcast_object #1", all -> all.broadcastObject(null, 2, String.class)),
        ALL_GATHER_OBJECT("all_gather_object #1", all -> all.allGatherObject("one", String.class)),
        RECEIVE_OBJECT("receive_object #1", all -> all.receiveObject(2, String.class));

        final String called;
        final String late;
        final Consumer<Communicator> operation;

        Waits(String called, Consumer<Communicator> operation) {
            this.called = called;
            this.late = called.contains("receive") ? "from 2" : "rank 2 did not come";
            this.operation = operation;
        }
    }

    @ParameterizedTest
    @EnumSource
    default void anOperationHasADeadlineOfItsOwn(Waits waits) throws Exception {
        LongEnough.oneOf(Duration.ofMillis(300), Duration.ofSeconds(20), limit -> {
            List<CommunicatorException> failures = withoutTheThird(ofThree(), world -> {
                Communicator all = world.communicators().world();
                Communicator brief = all.within(limit);
                assertThat(brief.group()).isEqualTo(all.group());
                waits.operation.accept(brief);
                return all;
            });
            assertLate(failures, limit, waits.called, waits.late, "within(…)");
        });
    }

    private static void assertLate(List<CommunicatorException> failures, Duration limit, String... texts) {
        assertAll(failures.subList(0, 2), ErrorCode.COLLECTIVE_TIMEOUT, limit.toMillis() / 1000.0 + " s");
        assertAll(failures.subList(0, 2), ErrorCode.COLLECTIVE_TIMEOUT, texts);
    }

    @ParameterizedTest
    @EnumSource(names = {"TENSOR", "PIPELINE"})
    default void groupsOfAKindHaveOne(GroupKind kind) throws Exception {
        WorldSpec spec = kind == GroupKind.TENSOR
                ? ofThree()
                : WorldSpec.of(ParallelSizes.pipeline(3)).withKinds(Set.of(GroupKind.WORLD, kind));
        LongEnough.oneOf(Duration.ofMillis(300), Duration.ofSeconds(20), limit -> {
            OperationTerms terms = spec.operations().withTimeouts(Map.of(kind, limit));
            List<CommunicatorException> failures = withoutTheThird(
                    spec.withOperations(terms),
                    world -> sum(world.communicators().of(kind)));
            assertLate(failures, limit, "rank 2 did not come");
        });
    }

    @Test
    default void aViewIsTheCommunicatorOnOtherTerms() {
        onEvery(2, all -> {
            Communicator view = all.within(Duration.ofMinutes(5)).within(Duration.ofMinutes(1));
            int me = view.rankInGroup();
            HostBuffer x = Buffer.ofFloats(me + 1);
            all.allReduce(x, ReduceOp.SUM);
            view.allReduce(x, ReduceOp.SUM);
            view.grouped(together -> {
                together.send(x);
                together.receive(Buffer.ofFloats(0));
                assertThatThrownBy(() -> together.within(Duration.ofMinutes(1)))
                        .isInstanceOf(UnsupportedOperationException.class)
                        .hasMessageContaining("within(PT1M).grouped");
            });
            view.barrier();
            assertThat(view.allGatherObject("rank " + me, String.class)).containsExactly("rank 0", "rank 1");
            assertThat(x.floats()).containsExactly(6);
            assertThat(view.traffic()).isEqualTo(all.traffic());
            assertThat(view.flight().entries()).hasSameSizeAs(all.flight().entries());
            view.close();
            assertAll(
                    List.of(catchThrowableOfType(CommunicatorException.class, all::barrier)),
                    ErrorCode.COMMUNICATOR_CLOSED,
                    "after close");
            return true;
        });
    }

    /** Who gave it is told before it is added up, when no rank could tell any more; the peers do not wait, queued or not. */
    @ParameterizedTest
    @CsvSource({"NaN, F32, false", "-Infinity, F64, false", "Infinity, BF16, true", "NaN, F16, true"})
    @FaultCase("F26")
    default void whatIsNoNumberIsFoundWhereItIsLookedFor(String what, DataType type, boolean queued) {
        List<LockstepException> failures = onEvery(3, looking(3), all -> {
            int rank = all.rankInGroup();
            HostBuffer x = Buffer.ofFloats(1, 2, rank == 1 ? Float.parseFloat(what) : 3)
                    .to(type);
            return catchThrowableOfType(LockstepException.class, () -> {
                all.allReduce(Buffer.ofFloats(1, Float.MAX_VALUE, Float.MIN_VALUE), ReduceOp.MAX);
                all.broadcast(Buffer.ofFloats(rank == 1 ? 1 : Float.NaN), 1); // of what is not read nothing is said
                if (!queued) {
                    all.allReduce(x, ReduceOp.SUM);
                }
                Work first = all.async(each -> each.allReduce(x, ReduceOp.SUM));
                HostBuffer next = Buffer.ofFloats(1, 2, 3).to(type);
                assertThatThrownBy(() -> all.async(each -> each.allReduce(next, ReduceOp.SUM))
                                .await())
                        .isInstanceOf(LockstepException.class);
                first.await();
            });
        });
        assertThat(failures)
                .extracting(LockstepException::code)
                .containsExactly(ErrorCode.ABORTED, ErrorCode.NOT_FINITE, ErrorCode.ABORTED);
        assertThat(failures)
                .allSatisfy(failure -> assertThat(failure)
                        .hasMessageContaining("all_reduce #3 in ")
                        .hasMessageContaining("element 2 of the 3 " + type + " of rank 1 is " + what));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @FaultCase("F26")
    default void soItIsInWhatIsSent(boolean together) {
        List<LockstepException> failures = onEvery(2, looking(2), all -> {
            HostBuffer x = Buffer.ofFloats(1, all.rankInGroup() == 1 ? Float.NaN : 2);
            HostBuffer y = Buffer.ofFloats(0, 0);
            return catchThrowableOfType(LockstepException.class, () -> {
                if (together) {
                    all.grouped(group -> {
                        group.send(x);
                        group.receive(y);
                    });
                } else if (all.rankInGroup() == 1) {
                    all.send(x);
                } else {
                    all.receive(y);
                }
            });
        });
        assertThat(failures)
                .extracting(LockstepException::code)
                .containsExactly(ErrorCode.ABORTED, ErrorCode.NOT_FINITE);
        assertThat(failures)
                .allSatisfy(failure -> assertThat(failure)
                        .hasMessageContaining("send to rank 0")
                        .hasMessageContaining("element 1 of the 2 f32 of rank 1 is NaN"));
    }

    private static WorldSpec looking(int size) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size));
        return spec.withOperations(spec.operations().withFinite(true));
    }
}
