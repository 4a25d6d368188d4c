package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import jcuda.driver.CUresult;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.LongEnough;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Flight;
import org.lockstep.collective.Ranks;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Work;
import org.lockstep.collective.WorldSpec;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelSizes;

/** All-reduces by kernels of several devices that wait for each other: their bits, and how worlds of them begin and end. */
@Timeout(120)
@HostCuda
class ExchangeCarrierTest {
    private static final CudaOptions OPTIONS = NcclCommunicatorTest.OPTIONS.withPeer(PeerOptions.DEFAULT);

    @BeforeEach
    void show() {
        StandIn.require().setDevices(8);
    }

    @AfterEach
    void hide() {
        StandIn driver = StandIn.require();
        driver.setReach(true);
        driver.setGarbled(false);
        driver.hurtExchange(-1, false);
        StandInNvml.require().setJoined(true);
        StandInNvml.require().refuse(0);
        assertThat(StandInNccl.require().communicators()).isZero();
        assertThat(driver.allocations()).isZero();
        assertThat(driver.events()).isZero();
        driver.setDevices(1);
    }

    private static <T> List<T> inWorld(int size, CudaWorlds.Part<T> part) {
        return inWorld(WorldSpec.of(ParallelSizes.tensor(size)), size, OPTIONS, part);
    }

    private static <T> List<T> inWorld(WorldSpec spec, int size, CudaOptions options, CudaWorlds.Part<T> part) {
        return CudaWorlds.run(spec, size, options, part);
    }

    private static HostBuffer bits(DataType type, int length, long seed) {
        byte[] bytes = new byte[length * type.bytes()];
        new Random(seed).nextBytes(bytes);
        return Bits.of(type, bytes);
    }

    /** In place, apart, and where loads are not aligned. */
    private static void requireBitsOfTheHost(Communicator group, Kernels kernels, DataType type, int length) {
        int rank = group.rankInGroup();
        for (ReduceOp op : CudaWorlds.reductions(type, rank)) {
            HostBuffer sent = bits(type, length, 31L * rank + length);
            HostBuffer expected = HostBuffer.allocate(type, length);
            group.allReduce(sent, expected, op);
            Buffer whole = kernels.zeros(type, length + 1).buffer();
            Buffer there = whole.slice(1, length);
            Buffer apart = kernels.zeros(type, length).buffer();
            there.copyFrom(sent);
            group.allReduce(there, apart, op);
            assertThat(Bits.of(apart.toHost())).as("%s of %d", op, length).isEqualTo(Bits.of(expected));
            group.allReduce(there, op);
            assertThat(Bits.of(there.toHost())).as("%s in place", op).isEqualTo(Bits.of(expected));
            whole.close();
            apart.close();
        }
    }

    @ParameterizedTest
    @EnumSource(DataType.class)
    void resultsHaveTheBitsOfTheHosts(DataType type) {
        for (int size : new int[] {2, 5}) {
            inWorld(size, (world, kernels) -> {
                for (int length : new int[] {1, 1003, (520 << 10) / type.bytes()}) {
                    requireBitsOfTheHost(world.communicators().tensor(), kernels, type, length);
                }
                return true;
            });
        }
    }

    @ParameterizedTest
    @CsvSource({"3", "4", "6", "7", "8"})
    void whateverTheNumberOfRanks(int size) {
        inWorld(size, (world, kernels) -> {
            for (int length : new int[] {0, 3, 70_001}) {
                requireBitsOfTheHost(world.communicators().tensor(), kernels, DataType.BF16, length);
            }
            return true;
        });
    }

    /** As where there are more devices than eight without NVSwitch: what the driver says it could do it then does not. */
    @Test
    void whereADeviceHasNoRoomForAnotherPeerTheyUseTheOtherCarrier() {
        StandIn driver = StandIn.require();
        driver.setPeers(1);
        try {
            requireTheOtherCarrier(3, "has as many peers as the driver lets it have");
        } finally {
            driver.setPeers(8);
        }
    }

    @Test
    void whatIsLargerThanTheLimitIsNotDoneByKernels() {
        StandIn driver = StandIn.require();
        CudaOptions small = OPTIONS.withPeer(PeerOptions.DEFAULT.withLimit(16));
        long before = driver.launches();
        inWorld(WorldSpec.of(ParallelSizes.tensor(2)), 2, small, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            Buffer x = CudaWorlds.floats(kernels, 1, 2, 3, 4);
            group.allReduce(x, ReduceOp.SUM);
            Buffer y = CudaWorlds.floats(kernels, 1, 2, 3, 4, 5);
            group.allReduce(y, ReduceOp.SUM);
            assertThat(x.toHost().floats()).containsExactly(2, 4, 6, 8);
            assertThat(y.toHost().floats()).containsExactly(2, 4, 6, 8, 10);
            assertThat(group.isRecordable()).isTrue();
            return true;
        });
        assertThat(driver.launches()).as("kernels").isEqualTo(before + 4); // with the trial
    }

    @Test
    void whatIsQueuedAndWhatIsNotMeet() {
        inWorld(2, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            for (int times = 0; times < 10; times++) {
                if (world.state().rank() == times % 2) {
                    Work work = group.async(queued -> queued.allReduce(x, ReduceOp.MAX));
                    work.await();
                } else {
                    group.allReduce(x, ReduceOp.MAX);
                }
                group.allReduce(x, ReduceOp.SUM);
            }
            assertThat(x.toHost().floats()).containsExactly(1024, 2048);
            return true;
        });
    }

    @Test
    void whereDevicesDoNotReachEachOtherTheyUseTheOtherCarrier() {
        StandIn.require().setReach(false);
        requireTheOtherCarrier(2, "the device of rank 0 does not reach that of rank 1");
    }

    @Test
    void whereDevicesReadSomethingElseOfEachOtherTheyUseTheOtherCarrier() {
        StandIn.require().setGarbled(true);
        requireTheOtherCarrier(2, "the device of rank 0 reads in memory of rank 1 what was not written there");
    }

    @Test
    void whereADeviceHasNoMemoryForItTheyUseTheOtherCarrier() {
        StandIn driver = StandIn.require();
        driver.setMemory(12 << 20);
        try {
            requireTheOtherCarrier(2, "the device of rank 0 has no memory for it, twice 8388608 bytes");
        } finally {
            driver.setMemory(512 << 20);
        }
    }

    @Test
    void moreThanTwoThatPcieAloneJoinsUseTheOtherCarrier() {
        StandInNvml.require().setJoined(false);
        requireTheOtherCarrier(
                3, "they are more than two, which NCCL does faster, and, as rank 0 finds, no NVLink joins GPU-");
    }

    @Test
    void moreThanTwoOfWhichNvmlDoesNotTellUseTheOtherCarrier() {
        StandInNvml.require().refuse(3);
        requireTheOtherCarrier(3, "and, as rank 0 finds, whether NVLink joins the GPUs is not known");
    }

    @Test
    void twoThatPcieJoinsAreDoneByKernels() {
        StandInNvml.require().setJoined(false);
        StandIn driver = StandIn.require();
        long before = driver.launches();
        inWorld(2, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().floats()).containsExactly(2, 4);
            return true;
        });
        assertThat(driver.launches()).as("kernels").isEqualTo(before + 4); // with the trial
    }

    @ParameterizedTest
    @CsvSource({"2,0", "2,1", "4,3"})
    void whereAKernelComesToAnotherSumTheyUseTheOtherCarrier(int size, int wrong) {
        StandIn.require().hurtExchange(wrong, false);
        requireTheOtherCarrier(size, "the kernel of rank " + wrong + " came to another sum than it should");
    }

    @ParameterizedTest
    @CsvSource({"2", "3"})
    void whereAKernelMeetsNobodyTheyUseTheOtherCarrier(int size) {
        StandIn.require().hurtExchange(1, true);
        requireTheOtherCarrier(
                WorldSpec.of(ParallelSizes.tensor(size)).withMeetingTimeout(Duration.ofSeconds(8)),
                size,
                "did not meet those of its peers in 2.0 s");
    }

    /** Whose kernel does not come to it: the others' wait no longer than for that. */
    @Test
    void aFaultOfOneDeviceInTheTrialEndsAllRanks() {
        StandIn driver = StandIn.require();
        driver.failLaunchAfter(0, CUresult.CUDA_ERROR_LAUNCH_FAILED);
        try {
            assertThatThrownBy(() -> inWorld(3, (world, kernels) -> true))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("CUDA_ERROR_LAUNCH_FAILED");
        } finally {
            driver.failLaunchAfter(-1, 0);
            assertThat(driver.renew()).as("all holds were let go").isTrue();
        }
    }

    private static void requireTheOtherCarrier(int size, String why) {
        requireTheOtherCarrier(WorldSpec.of(ParallelSizes.tensor(size)), size, why);
    }

    /** One line says why, though there are several ranks. */
    private static void requireTheOtherCarrier(WorldSpec spec, int size, String why) {
        StandIn driver = StandIn.require();
        Queue<String> told = new ConcurrentLinkedQueue<>();
        CudaWorlds.run(spec, size, OPTIONS, told::add, (world, kernels) -> {
            long before = driver.launches();
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().floats()).containsExactly(size, 2 * size);
            assertThat(driver.launches()).as("kernels").isEqualTo(before);
            return true;
        });
        assertThat(told).singleElement().asString().startsWith("tp[0]={0,1").contains(why);
    }

    /** Each kernel ends, and each rank is told what the ranks called. */
    @ParameterizedTest
    @CsvSource({"100,100,MAX", "100,30000,SUM", "30000,100,SUM", "0,7,SUM"})
    void anotherCallIsToldToAllWithBothSides(int length, int other, ReduceOp.Kind kind) {
        inWorld(3, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            boolean differs = group.rankInGroup() == 1;
            Buffer x = kernels.zeros(DataType.F32, differs ? other : length).buffer();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, () -> {
                group.allReduce(x, differs && kind == ReduceOp.Kind.MAX ? ReduceOp.MAX : ReduceOp.SUM);
                kernels.zeros(DataType.F32, 1).buffer().toHost();
            });
            Ranks.assertAll(
                    List.of(failure),
                    ErrorCode.COLLECTIVE_MISMATCH,
                    "f32[" + length + "]",
                    "f32[" + other + "]",
                    kind == ReduceOp.Kind.MAX ? "max" : "sum");
            return true;
        });
    }

    @Test
    void whoDoesNotComeIsNamedAtTheDeadline() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2)).withOperationTimeout(Duration.ofMillis(500));
        CudaWorlds.inVain(spec, OPTIONS, (world, x) -> {
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::toHost);
            Ranks.assertAll(
                    List.of(failure),
                    ErrorCode.COLLECTIVE_TIMEOUT,
                    "all_reduce #1 sum f32[2] in tp[0]={0,1}",
                    "rank 1 did not come");
        });
    }

    /** All came to the operation; NCCL has no part in it. */
    @Test
    void whereKernelsDoNotMeetTheirDeadlineSaysWhatToTry() throws Exception {
        LongEnough.oneOf(Duration.ofSeconds(2), Duration.ofSeconds(20), ExchangeCarrierTest::assertDoNotMeetFor);
    }

    private static void assertDoNotMeetFor(Duration limit) {
        StandIn.require().hurtExchange(-1, false);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2)).withOperationTimeout(limit);
        CyclicBarrier both = new CyclicBarrier(2);
        inWorld(spec, 2, OPTIONS, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            x.toHost();
            both.await();
            StandIn.require().hurtExchange(1, true);
            both.await();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, () -> {
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                x.toHost();
            });
            Ranks.assertAll(List.of(failure), ErrorCode.COLLECTIVE_TIMEOUT, "spark.lockstep.gpu.peer=off");
            assertThat(failure).hasMessageNotContaining("NCCL_DEBUG");
            return true;
        });
    }

    @Test
    void anAbortEndsAKernelThatWaits() {
        CountDownLatch waiting = new CountDownLatch(1);
        inWorld(2, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            x.toHost();
            if (world.state().rank() == 1) {
                waiting.await();
                world.abort(new IllegalStateException("the row is cursed")); // and never calls the operation
                return true;
            }
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            assertThat(world.communicators().tensor().flight().underWay())
                    .extracting(Flight.Entry::toString)
                    .containsExactly("all_reduce #1 sum f32[2]");
            waiting.countDown();
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::toHost);
            Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 1", "the row is cursed");
            return true;
        });
    }

    @Test
    void worldsThatComeAndGoLeaveNothing() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(2));
        CudaOptions small = OPTIONS.withPeer(PeerOptions.DEFAULT.withLimit(1 << 10));
        for (int times = 0; times < 100; times++) {
            boolean fails = times % 3 == 2;
            CyclicBarrier both = new CyclicBarrier(2);
            inWorld(spec.newAttempt(), 2, small, (world, kernels) -> {
                Buffer x = CudaWorlds.floats(kernels, 1);
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                assertThat(x.toHost().floats()).containsExactly(2);
                both.await();
                if (fails) {
                    world.abort(new IllegalStateException("the row is cursed"));
                }
                return true;
            });
        }
    }
}
