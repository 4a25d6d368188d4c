package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.LongEnough;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Flight;
import org.lockstep.collective.OperationTerms;
import org.lockstep.collective.Ranks;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.TensorMaps;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Step;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Worlds whose groups are NCCL's: how they come to be, and how they end when something fails. */
@Timeout(120)
@HostCuda
class NcclWorldTest {
    private static final CudaOptions OPTIONS = CudaOptions.DEFAULT
            .withCublas(CudaOptions.NO_CUBLAS)
            .withNccl(NcclOptions.DEFAULT.withUse(Use.ON))
            .withPeer(PeerOptions.NONE);

    private static final WorldSpec ONE_GROUP =
            WorldSpec.of(ParallelSizes.tensor(2)).withKinds(Set.of(GroupKind.TENSOR));

    private StandInNccl nccl = StandInNccl.require();

    @BeforeEach
    void show() {
        nccl = StandInNccl.require();
        StandIn.require().setDevices(4);
    }

    @AfterEach
    void hide() {
        nccl.lose(-1);
        nccl.makeLate(-1);
        nccl.failAfter(-1);
        nccl.setLazy(false);
        assertThat(nccl.communicators()).isZero();
        assertThat(nccl.misuses()).isZero();
        StandIn.require().setDevices(1);
    }

    static <T> List<T> inWorld(WorldSpec spec, int size, CudaWorlds.Part<T> part) {
        return inWorld(spec, size, OPTIONS, part);
    }

    private static <T> List<T> inWorld(WorldSpec spec, int size, CudaOptions options, CudaWorlds.Part<T> part) {
        assumeTrue(size <= StandIn.devices().size(), "as many devices as ranks");
        return CudaWorlds.run(spec, size, options, part);
    }

    private static void inVain(WorldSpec spec, CudaWorlds.Ending ending) {
        assumeTrue(StandIn.devices().size() > 1, "as many devices as ranks");
        CudaWorlds.inVain(spec, OPTIONS, ending);
    }

    /** All groups of a rank share its stream: what is behind an operation waits for that one's peers, and its time has not begun. */
    @Test
    void aShortDeadlineDoesNotRunWhileAnotherGroupIsAhead() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        OperationTerms brief = spec.operations().withTimeouts(Map.of(GroupKind.TENSOR, Duration.ofSeconds(1)));
        CountDownLatch queued = new CountDownLatch(2);
        CountDownLatch never = new CountDownLatch(1);
        inWorld(spec.withOperations(brief), 4, (world, kernels) -> {
            Communicator tensor = world.communicators().tensor();
            Communicator pipeline = world.communicators().pipeline();
            int rank = world.state().rank();
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            x.toHost();
            if (rank == 0) {
                pipeline.allReduce(x, ReduceOp.SUM);
                tensor.allReduce(x, ReduceOp.SUM);
                queued.countDown();
                assertThat(x.toHost().floats()).containsExactly(3, 6);
            } else if (rank == 1) { // comes at once: rank 0, when it is its turn, waits for nobody any more
                tensor.within(Duration.ofMinutes(1)).allReduce(x, ReduceOp.SUM);
                queued.countDown();
                assertThat(x.toHost().floats()).containsExactly(3, 6);
            } else if (rank == 2) {
                queued.await();
                assertThat(never.await(2_500, TimeUnit.MILLISECONDS)).isFalse();
                pipeline.allReduce(x, ReduceOp.SUM);
                assertThat(x.toHost().floats()).containsExactly(2, 4);
            }
            return true;
        });
    }

    @Test
    void tensorsOfADeviceTravelInMaps() {
        inWorld(WorldSpec.of(ParallelSizes.tensor(2)), 2, (world, kernels) -> {
            TensorMaps maps = TensorMaps.in(world.communicators().tensor());
            Map<String, Tensor> mine = Map.of("x", kernels.upload(Buffer.ofFloats(1, 2, 3), 3));
            boolean first = world.state().rank() == 0;
            if (first) {
                maps.send(mine);
            } else {
                assertThat(maps.receive().get("x").buffer().toHost().floats()).containsExactly(1, 2, 3);
            }
            Tensor told = maps.broadcast(first ? mine : null, 0).get("x");
            assertThat(told.buffer().toHost().floats()).containsExactly(1, 2, 3);
            return true;
        });
    }

    @Test
    void groupsOfOneMakeNoneAndThoseOfTheSameRanksShareOne() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        CyclicBarrier all = new CyclicBarrier(4);
        inWorld(spec, 4, (world, kernels) -> {
            all.await();
            assertThat(nccl.communicators()).isEqualTo(3 * 4L); // tensor, pipeline, and model as world; data is of one
            all.await();
            Buffer x = CudaWorlds.floats(kernels, 1, world.state().rank());
            world.communicators().of(GroupKind.MODEL).allReduce(x, ReduceOp.SUM);
            world.communicators().data().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().toFloats()).containsExactly(4, 6);
            assertThat(world.communicators().world())
                    .isSameAs(world.communicators().model());
            return true;
        });
    }

    /** Before NCCL is asked, whose words do not say what to do. */
    @Test
    void ranksOfOneProcessThatShareADeviceAreRefusedThoughEachProcessIsAHost() {
        StandIn.require().setDevices(1);
        CudaOptions shared = OPTIONS.withNccl(OPTIONS.nccl().withShared(true)).withRanksPerDevice(2);
        Throwable failure = catchThrowable(
                () -> CudaWorlds.run(WorldSpec.of(ParallelSizes.tensor(2)), 2, shared, (world, kernels) -> true));
        assertThat(failure)
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.USAGE))
                .hasMessageContaining("ranks 0 and 1 of tp[0]={0,1} share a device and are of one process");
    }

    @Test
    void groupsOfAKindHaveTheirThreadBlocksAndTheirTrafficClass() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        String tensor = GroupKind.TENSOR.token();
        String pipeline = GroupKind.PIPELINE.token();
        NcclOptions options =
                new NcclOptions(Use.ON, null, Map.of(tensor, 4), Map.of(tensor, 0, pipeline, 106), false, false, false);
        CyclicBarrier all = new CyclicBarrier(4);
        inWorld(spec, 4, OPTIONS.withNccl(options), (world, kernels) -> {
            all.await();
            assertThat(nccl.communicators(new NcclConfig(OptionalInt.of(4), OptionalInt.of(0))))
                    .isEqualTo(4);
            assertThat(nccl.communicators(new NcclConfig(OptionalInt.empty(), OptionalInt.of(106))))
                    .isEqualTo(4);
            assertThat(nccl.communicators(NcclConfig.DEFAULT)).isEqualTo(4); // of all ranks
            all.await();
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            world.communicators().pipeline().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().toFloats()).containsExactly(4, 8);
            return true;
        });
    }

    /** What a rank had before it met the others, what it takes later, and what it gives back before the end. */
    @Test
    void theMemoryOfARankIsRegisteredWithEachOfItsCommunicatorsWhileItIsThere() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        CudaOptions options = OPTIONS.withNccl(new NcclOptions(Use.ON, null, Map.of(), Map.of(), false, true, false));
        CyclicBarrier all = new CyclicBarrier(4);
        LocalWorld.of(4).run(rendezvous -> {
            VisibleDevice device = StandIn.devices().get(rendezvous.index());
            try (CudaBackend backend = CudaBackend.create(device, CpuBackend.create(), options)) {
                Buffer x = CudaWorlds.floats(backend.kernels(), 1, 2);
                try (World world = World.join(rendezvous, backend, spec)) {
                    all.await();
                    long before = nccl.registered();
                    assertThat(before).isEqualTo(nccl.communicators()).isPositive(); // of one chunk
                    all.await();
                    Buffer large =
                            CudaWorlds.floats(backend.kernels(), new float[5 << 20]); // which has memory of its own
                    all.await();
                    assertThat(nccl.registered()).isEqualTo(2 * before);
                    all.await();
                    world.communicators().tensor().allReduce(large, ReduceOp.SUM);
                    world.communicators().pipeline().allReduce(x, ReduceOp.SUM);
                    large.close();
                    all.await();
                    assertThat(nccl.registered()).isEqualTo(before);
                    all.await();
                    world.communicators().model().allReduce(x, ReduceOp.SUM);
                    assertThat(x.toHost().toFloats()).containsExactly(8, 16);
                }
                return true;
            }
        });
        assertThat(nccl.registered()).isZero();
    }

    @Test
    void anAbortGivesBackWhatIsRegistered() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        CudaOptions options = OPTIONS.withNccl(new NcclOptions(Use.ON, null, Map.of(), Map.of(), false, true, false));
        CyclicBarrier both = new CyclicBarrier(2);
        inWorld(spec, 2, options, (world, kernels) -> {
            Buffer large = CudaWorlds.floats(kernels, new float[5 << 20]);
            large.toHost();
            both.await();
            assertThat(nccl.registered()).isPositive();
            both.await();
            if (world.state().rank() == 1) {
                world.abort(new IllegalStateException("the row is cursed"));
                return true;
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, () -> {
                world.communicators().tensor().allReduce(large, ReduceOp.SUM);
                large.toHost();
            });
            assertThat(failure).hasMessageContaining("the row is cursed");
            return true;
        });
        assertThat(nccl.registered()).isZero();
    }

    @Test
    void anOldLibraryMovesEightBitNumbersAndRefusesToReduceThem() {
        nccl.setVersion(22_304);
        CyclicBarrier moved = new CyclicBarrier(2); // who is refused ends the world
        try {
            inWorld(WorldSpec.of(ParallelSizes.tensor(2)), 2, (world, kernels) -> {
                Communicator tensor = world.communicators().tensor();
                byte rank = (byte) world.state().rank();
                HostBuffer bits = HostBuffer.of(DataType.F8_E4M3, new byte[] {rank, 0x38});
                Buffer x = kernels.upload(bits, 2).buffer();
                tensor.broadcast(x, 1);
                assertThat(x.toHost().byteArray()).containsExactly(1, 0x38);
                moved.await();
                LockstepException failure =
                        catchThrowableOfType(LockstepException.class, () -> tensor.allReduce(x, ReduceOp.SUM));
                assertThat(failure)
                        .hasMessageContaining("NCCL 2.23.4 (libnccl.so.2)")
                        .hasMessageContaining("reduces no f8_e4m3, as 2.24.0 does from 9.0 on");
                return true;
            });
        } finally {
            nccl.setVersion(22_800);
        }
    }

    /** Else the others would have queued what one of them does not come to. */
    @Test
    void allRanksRefuseToReduceEightBitNumbersWhereOneHasADeviceThatIsTooOld() {
        StandIn driver = StandIn.require();
        driver.setCapability(1, 8, 9);
        try {
            inWorld(WorldSpec.of(ParallelSizes.tensor(2)), 2, (world, kernels) -> {
                Buffer x = kernels.upload(HostBuffer.allocate(DataType.F8_E5M2, 2), 2)
                        .buffer();
                LockstepException failure = catchThrowableOfType(
                        LockstepException.class,
                        () -> world.communicators().tensor().allReduce(x, ReduceOp.SUM));
                assertThat(failure)
                        .hasMessageContaining("on the device of rank 1, of compute capability 8.9, reduces no f8_e5m2");
                return true;
            });
        } finally {
            driver.setCapability(1, 9, 0);
        }
    }

    @Test
    void whatWasQueuedIsCompleteWhenAWorldCloses() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        List<float[]> results = LocalWorld.of(2).run(rendezvous -> {
            VisibleDevice device = StandIn.devices().get(rendezvous.index());
            try (CudaBackend backend = CudaBackend.create(device, CpuBackend.create(), OPTIONS)) {
                World world = World.join(rendezvous, backend, spec);
                Buffer x = CudaWorlds.floats(backend.kernels(), 1, 2);
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                world.close();
                return x.toHost().toFloats();
            }
        });
        assertThat(results).allSatisfy(each -> assertThat(each).containsExactly(4, 8));
    }

    @Test
    void anAbortFreesWhoWaitsForTheDeviceAndItsMemoryIsReadNoMore() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        CountDownLatch waiting = new CountDownLatch(1);
        inWorld(spec, 2, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            x.toHost();
            if (world.state().rank() == 1) {
                waiting.await();
                world.abort(new IllegalStateException("the row is cursed")); // and never calls the operation
                return true;
            }
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            Flight.Entry called =
                    world.communicators().tensor().flight().underWay().get(0);
            assertThat(called).hasToString("all_reduce #1 sum f32[2]");
            waiting.countDown();
            for (int times = 0; times < 2; times++) {
                CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::toHost);
                Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 1", "the row is cursed");
            }
            assertThat(world.communicators().tensor().flight().underWay())
                    .extracting(Flight.Entry::toString)
                    .containsExactly("all_reduce #1 sum f32[2]");
            return true;
        });
    }

    @Test
    void anAbortFromAnotherThreadFreesTheRankThatItIsOf() {
        inVain(WorldSpec.of(ParallelSizes.tensor(2)), (world, x) -> {
            Thread watchdog = new Thread(() -> world.abort(new IllegalStateException("killed")), "watchdog");
            watchdog.start();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::toHost);
            Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "killed");
            watchdog.join();
        });
    }

    /** The first call waits on the host, for NCCL connects the ranks by it: nothing is queued yet that could be looked after. */
    @Test
    void anAbortFreesWhoWaitsForTheOthersFirstCall() {
        nccl.setLazy(true);
        CountDownLatch over = new CountDownLatch(1);
        inWorld(WorldSpec.of(ParallelSizes.tensor(2)), 2, (world, kernels) -> {
            if (world.state().rank() == 1) {
                over.await(); // and calls nothing
                return true;
            }
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            Thread watchdog = new Thread(() -> world.abort(new IllegalStateException("killed")), "watchdog");
            watchdog.start();
            CommunicatorException failure = catchThrowableOfType(
                    CommunicatorException.class,
                    () -> world.communicators().tensor().allReduce(x, ReduceOp.SUM));
            Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "killed");
            watchdog.join();
            over.countDown();
            return true;
        });
    }

    @Test
    void whoDoesNotComeToTheFirstCallIsNamed() {
        nccl.setLazy(true);
        CountDownLatch over = new CountDownLatch(1);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2)).withOperationTimeout(Duration.ofSeconds(3));
        inWorld(spec, 2, (world, kernels) -> {
            if (world.state().rank() == 1) {
                over.await(); // and calls nothing
                return true;
            }
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            CommunicatorException failure = catchThrowableOfType(
                    CommunicatorException.class,
                    () -> world.communicators().tensor().allReduce(x, ReduceOp.SUM));
            Ranks.assertAll(List.of(failure), ErrorCode.COLLECTIVE_TIMEOUT, "all_reduce #1", "rank 1 did not come");
            over.countDown();
            return true;
        });
    }

    /** One that is behind another's in the rank's stream ends with it, not before. */
    @Test
    void anAbortEndsAllGroupsOfARankTogether() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
        CountDownLatch over = new CountDownLatch(1);
        inWorld(spec, 4, (world, kernels) -> {
            if (world.state().rank() > 0) {
                over.await(); // and calls nothing
                return true;
            }
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            world.communicators().model().allReduce(x, ReduceOp.SUM);
            world.communicators().pipeline().allReduce(x, ReduceOp.SUM);
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            world.abort(new IllegalStateException("enough"));
            assertThat(catchThrowable(x::toHost)).hasMessageContaining("enough");
            over.countDown();
            return true;
        });
    }

    /** NCCL does not end what a graph can launch; the graphs are those of the rank's thread, which may be anywhere. */
    @Test
    void whoAbortsDoesNotWaitForTheGraphsOfARank() {
        CyclicBarrier both = new CyclicBarrier(2);
        BatchLayout layout = new BatchLayout(new int[] {0, 1}, new int[] {1}, new int[][] {{0}}, 1);
        inWorld(WorldSpec.of(ParallelSizes.tensor(2)), 2, (world, kernels) -> {
            Tensor x = kernels.upload(Buffer.ofFloats(1, 2), 2);
            Step step = new Step("part", new int[] {0}, layout, new int[0], x, null, true);
            for (int times = 0; times < 3; times++) {
                kernels.step(step, () -> world.communicators().tensor().allReduce(x.buffer(), ReduceOp.SUM));
            }
            assertThat(x.buffer().toHost().floats()).containsExactly(8, 16);
            both.await();
            if (world.state().rank() == 0) {
                Thread watchdog = new Thread(() -> world.abort(new IllegalStateException("enough")), "watchdog");
                watchdog.start();
                watchdog.join();
            }
            both.await();
            assertThat(nccl.communicators()).as("for the graphs").isPositive();
            both.await();
            return true;
        });
    }

    @Test
    void anInterruptEndsTheWaitForTheDevice() {
        inVain(WorldSpec.of(ParallelSizes.tensor(2)), (world, x) -> {
            Thread.currentThread().interrupt();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::toHost);
            Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 0", "interrupted in all_reduce #1");
            assertThat(Thread.interrupted()).isTrue();
        });
    }

    @Test
    void aFailureOfTheNetworkEndsAllRanksWithNcclsWords() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        CyclicBarrier both = new CyclicBarrier(2);
        inWorld(spec, 2, (world, kernels) -> {
            Communicator tensor = world.communicators().tensor();
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            tensor.allReduce(x, ReduceOp.SUM);
            x.toHost();
            both.await();
            if (world.state().rank() == 0) {
                nccl.failAfter(0);
            }
            both.await();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, () -> {
                tensor.allReduce(x, ReduceOp.SUM);
                x.toHost();
            });
            assertThat(failure.code()).isIn(ErrorCode.PEER_LOST, ErrorCode.ABORTED);
            assertThat(failure).hasMessageContaining("network error");
            return true;
        });
    }

    @Test
    void whoDoesNotComeToAnOperationIsNamedByTheHostsGroup() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2)).withOperationTimeout(Duration.ofMillis(500));
        inVain(spec, (world, x) -> {
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::toHost);
            Ranks.assertAll(
                    List.of(failure),
                    ErrorCode.COLLECTIVE_TIMEOUT,
                    "all_reduce #1 sum f32[2] in tp[0]={0,1}",
                    "rank 1 did not come");
        });
    }

    @Test
    void aGroupThatDoesNotMeetIsToldAtTheDeadlineOfTheMeeting() throws Exception {
        nccl.lose(1);
        LongEnough.oneOf(Duration.ofSeconds(2), Duration.ofSeconds(20), limit -> {
            WorldSpec spec = ONE_GROUP.withMeetingTimeout(limit);
            Throwable failure = catchThrowable(() -> inWorld(spec, 2, (world, kernels) -> true));
            assertThat(failure)
                    .isInstanceOfSatisfying(
                            LockstepException.class,
                            e -> assertThat(e.code()) // as found, or as heard of the other
                                    .isIn(ErrorCode.COLLECTIVE_TIMEOUT, ErrorCode.ABORTED))
                    .hasMessageContaining("init of tp[0]={0,1} of NCCL")
                    .hasMessageContaining("all ranks came to it, and it has not joined ranks 0,1");
        });
    }

    /** Those that it has joined hear it of the one that it has not, which alone is to blame. */
    @Test
    void whoAloneIsNotJoinedIsNamedByAll() throws Exception {
        nccl.makeLate(1);
        LongEnough.oneOf(Duration.ofSeconds(2), Duration.ofSeconds(20), limit -> {
            WorldSpec spec = ONE_GROUP.withMeetingTimeout(limit);
            List<LockstepException> failures = LocalWorld.of(2).run(rendezvous -> {
                try (CudaBackend backend =
                        CudaBackend.create(StandIn.devices().get(rendezvous.index()), CpuBackend.create(), OPTIONS)) {
                    return catchThrowableOfType(LockstepException.class, () -> World.join(rendezvous, backend, spec));
                }
            });
            assertThat(failures)
                    .allSatisfy(failure -> assertThat(failure)
                            .hasMessageContainingAll("init of tp[0]={0,1} of NCCL", "it has not joined rank 1"));
            assertThat(failures.get(0)).hasMessageContaining("culprit : rank 1");
        });
    }

    /** NCCL itself tells nobody who keeps it waiting. */
    @Test
    void whoIsHeldInItsInitIsNamedAtTheDeadlineOfTheMeeting() throws Exception {
        LongEnough.oneOf(Duration.ofSeconds(2), Duration.ofSeconds(20), limit -> {
            WorldSpec spec = ONE_GROUP.withMeetingTimeout(limit);
            nccl.holdInit(1);
            List<CommunicatorException> failures = LocalWorld.of(2).run(rendezvous -> {
                int index = rendezvous.index();
                try (CudaBackend backend =
                        CudaBackend.create(StandIn.devices().get(index), CpuBackend.create(), OPTIONS)) {
                    return catchThrowableOfType(
                            CommunicatorException.class, () -> World.join(rendezvous, backend, spec));
                } finally {
                    if (index == 0) {
                        nccl.holdInit(-1);
                    }
                }
            });
            Ranks.assertAll(
                    failures,
                    ErrorCode.COLLECTIVE_TIMEOUT,
                    "what each found of the init of NCCL",
                    "in tp[0]={0,1} not complete",
                    "rank 1 did not come",
                    "culprit : rank 1");
        });
    }

    @Test
    void worldsThatComeAndGoLeaveNothing() throws IOException {
        for (int times = 0; times < 20; times++) {
            List<float[]> sums = inWorld(ONE_GROUP.newAttempt(), 2, (world, kernels) -> {
                Buffer x = CudaWorlds.floats(kernels, 1);
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                HostBuffer sum = x.toHost();
                return sum.toFloats();
            });
            assertThat(sums).allSatisfy(sum -> assertThat(sum).containsExactly(2));
        }
        assertThat(nccl.communicators()).isZero();
        assertThat(StandIn.require().allocations()).isZero();
        String ours = "@stand-in " + ProcessHandle.current().pid() + "-";
        assertThat(Files.readString(Path.of("/proc/net/unix"))).doesNotContain(ours);
    }
}
