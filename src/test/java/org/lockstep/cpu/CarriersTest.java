package org.lockstep.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.SoloCarrier;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** What becomes of a group where that which carries a device's buffers fails. */
@Timeout(60)
class CarriersTest {
    private static final Duration LONG = Duration.ofSeconds(5); // as long as ranks are asked at most

    /** It is no concurrent use: the one who is inside only asks the others what they know of a failure. */
    @Test
    void whoComesWhileTheRanksAreAskedIsToldWhatFailed() {
        CountDownLatch told = new CountDownLatch(1);
        onEach(2, (all, life) -> {
            if (all.rankInGroup() == 1) {
                told.await();
                return;
            }
            Thread asking = new Thread(() -> fail(life, LONG));
            asking.start();
            awaitThatItWaits(asking); // for rank 1
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, all::barrier);
            told.countDown();
            asking.join();
            assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
            assertThat(failure).hasMessageContaining("all_reduce #7 not complete on the device");
        });
    }

    /** Who has come is not, however short the time is that another one asks. */
    @Test
    void whoDoesNotComeToBeAskedIsNamed() {
        CompletableFuture<Thread> first = new CompletableFuture<>();
        CountDownLatch over = new CountDownLatch(2);
        onEach(3, (all, life) -> {
            int rank = all.rankInGroup();
            if (rank == 2) {
                over.await();
                return;
            }
            if (rank == 0) {
                first.complete(Thread.currentThread());
            } else {
                awaitThatItWaits(first.join());
            }
            CommunicatorException failure = fail(life, rank == 0 ? LONG : Duration.ofMillis(200));
            over.countDown();
            assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
            assertThat(failure)
                    .hasMessageContaining("all_reduce #7 in world[0]={0,1,2} not complete in 0.2 s: rank 2 did");
        });
    }

    /** What a rank does with its world's group, and what that hears of the device. */
    private interface Part {
        void run(Communicator all, Carriers.Life life) throws Exception;
    }

    private static void onEach(int ranks, Part part) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(ranks)).withKinds(Set.of(GroupKind.WORLD));
        LocalWorld.of(ranks).run(rendezvous -> {
            AtomicReference<Carriers.Life> life = new AtomicReference<>();
            Carriers devices = (group, me, host, own, tag) -> {
                life.set(own);
                return host;
            };
            try (Backend backend = ConnectsBy.carriers(CpuBackend.create(), devices);
                    World world = World.join(rendezvous, backend, spec)) {
                part.run(world.communicators().world(), life.get());
                return 0;
            }
        });
    }

    /** A group of one has no peer, but the rank has some in other groups. */
    @Test
    void whereOneCannotBeMadeThePeersAreTold() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2))
                .withKinds(Set.of(GroupKind.WORLD, GroupKind.PIPELINE))
                .withOperationTimeout(Duration.ofSeconds(10));
        List<LockstepException> ends = LocalWorld.of(2).run(rendezvous -> {
            Carriers devices = (group, me, host, own, tag) -> {
                if (group.size() == 1 && group.first() == 0) {
                    throw LockstepException.report(ErrorCode.OUT_OF_MEMORY, "planned")
                            .exception();
                }
                return host;
            };
            LockstepException end = catchThrowableOfType(LockstepException.class, () -> {
                try (Backend backend = ConnectsBy.carriers(CpuBackend.create(), devices);
                        World world = World.join(rendezvous, backend, spec)) {
                    world.communicators().world().barrier();
                }
            });
            return end;
        });
        assertThat(ends).extracting(LockstepException::code).containsOnlyOnce(ErrorCode.OUT_OF_MEMORY);
        assertThat(ends).extracting(LockstepException::code).containsOnlyOnce(ErrorCode.ABORTED);
        assertThat(ends).allSatisfy(end -> assertThat(end).hasMessageContaining("planned"));
    }

    /** What could not be closed is told when all else is, and its peers do not wait for it. */
    @Test
    void whereOneCannotBeClosedAllElseIs() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2))
                .withKinds(Set.of(GroupKind.WORLD, GroupKind.PIPELINE))
                .withOperationTimeout(Duration.ofSeconds(10));
        LocalWorld.of(2).withVenues(2).run(rendezvous -> {
            Carriers devices = (group, me, host, own, tag) -> group.rank(me) == 0 ? new Unclosable(group.size()) : host;
            try (Backend backend = ConnectsBy.carriers(CpuBackend.create(), devices);
                    World world = World.join(rendezvous, backend, spec)) {
                if (world.state().rank() == 0) {
                    Throwable end = catchThrowable(world::close);
                    assertThat(end).hasMessage("a group of 2 cannot be closed");
                    assertThat(end.getSuppressed())
                            .extracting(Throwable::getMessage)
                            .containsExactly("a group of 1 cannot be closed");
                    assertThat(rendezvous.venue().isEmpty()).isTrue();
                } else {
                    CommunicatorException failure = catchThrowableOfType(
                            CommunicatorException.class,
                            () -> world.communicators().world().barrier());
                    assertThat(failure.code()).isEqualTo(ErrorCode.PEER_LOST);
                    assertThat(failure).hasMessageContaining("rank 0 left the group");
                }
                return 0;
            }
        });
    }

    private static final class Unclosable extends SoloCarrier {
        private final int ranks;

        Unclosable(int ranks) {
            this.ranks = ranks;
        }

        @Override
        public boolean carries(Buffer buffer) {
            return false;
        }

        @Override
        protected void copy(Buffer send, Buffer receive) {}

        @Override
        protected void scale(Buffer buffer, double factor) {}

        @Override
        public void close() {
            throw new IllegalStateException("a group of " + ranks + " cannot be closed");
        }
    }

    /** Whoever waits for queued work that asks the others waits until they have said what failed first. */
    @Test
    void whoComesAfterQueuedWorkThatFailedHearsWhatTheOthersKnow() {
        CountDownLatch begun = new CountDownLatch(1);
        onEach(2, (all, life) -> {
            if (all.rankInGroup() == 1) {
                begun.await();
                CommunicatorException other =
                        catchThrowableOfType(CommunicatorException.class, () -> all.broadcast(Buffer.ofFloats(1), 0));
                assertThat(other.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
                return;
            }
            all.async(here -> fail(life, LONG));
            begun.countDown();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, all::barrier);
            assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
        });
    }

    private static void awaitThatItWaits(Thread thread) {
        Awaitility.await().until(() -> LockSupport.getBlocker(thread) != null);
    }

    private static CommunicatorException fail(Carriers.Life life, Duration asking) {
        OperationTag tag = new OperationTag(7, OperationTag.Operation.ALL_REDUCE, null, null, 0, -1);
        LockstepException failure = LockstepException.report(
                        ErrorCode.COLLECTIVE_TIMEOUT, "all_reduce #7 not complete on the device")
                .exception();
        return life.fail(tag, failure, Optional.of(asking));
    }
}
