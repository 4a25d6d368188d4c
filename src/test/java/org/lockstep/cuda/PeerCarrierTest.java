package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Ranks;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.WorldSpec;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.ParallelSizes;

/** Ranks that read each other's device memory: the bits of their sums, and how worlds of them begin and end. */
@Timeout(120)
@HostCuda
class PeerCarrierTest {
    @AfterEach
    void hide() {
        if (StandIn.isLoaded()) {
            StandIn driver = StandIn.require();
            driver.setReach(true);
            driver.setDevices(1);
            assertThat(driver.allocations()).isZero();
            assertThat(driver.events()).isZero();
        }
    }

    private static <T> List<T> inWorld(int size, int devices, CudaOptions options, CudaWorlds.Part<T> part) {
        StandIn.show(devices);
        CudaOptions shared = options.withRanksPerDevice((size + devices - 1) / devices);
        return CudaWorlds.run(WorldSpec.of(ParallelSizes.tensor(size)), size, shared, part);
    }

    /** Any bits: also numbers that are none, infinities, and both zeros. */
    private static HostBuffer bits(DataType type, int length, long seed) {
        byte[] bytes = new byte[length * type.bytes()];
        new Random(seed).nextBytes(bytes);
        for (int i = 0; i < length; i += 7) { // often of one value on several ranks
            for (int b = 0; b < type.bytes(); b++) {
                bytes[i * type.bytes() + b] = (byte) (b == type.bytes() - 1 ? i % 2 * 0x80 : 0);
            }
        }
        return Bits.of(type, bytes);
    }

    @ParameterizedTest
    @EnumSource(DataType.class)
    void reductionsHaveTheBitsOfTheHosts(DataType type) {
        for (int size : new int[] {2, 5}) {
            inWorld(size, 1, PeerCommunicatorTest.OPTIONS, (world, kernels) -> {
                Communicator group = world.communicators().tensor();
                int rank = group.rankInGroup();
                for (ReduceOp op : CudaWorlds.reductions(type, rank)) {
                    for (int length : new int[] {1, 1003, (600 << 10) / type.bytes()}) {
                        HostBuffer sent = bits(type, length, 31L * rank + length);
                        HostBuffer expected = HostBuffer.allocate(type, length);
                        group.allReduce(sent, expected, op);
                        Buffer there = kernels.upload(sent, length).buffer();
                        Buffer apart = kernels.zeros(type, length).buffer();
                        group.allReduce(there, apart, op);
                        assertThat(Bits.of(apart.toHost()))
                                .as("%s of %d", op, length)
                                .isEqualTo(Bits.of(expected));
                        assertThat(Bits.of(there.toHost())).isEqualTo(Bits.of(sent));
                        group.allReduce(there, op);
                        assertThat(Bits.of(there.toHost()))
                                .as("%s in place", op)
                                .isEqualTo(Bits.of(expected));
                        there.close();
                        apart.close();
                    }
                }
                return true;
            });
        }
    }

    @ParameterizedTest
    @CsvSource({"3,1", "4,2", "3,3"})
    void noBufferGoesThroughTheHost(int size, int devices) {
        StandIn driver = StandIn.require();
        inWorld(size, devices, PeerCommunicatorTest.OPTIONS, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            Buffer x = kernels.upload(Buffer.ofFloats(1, 2, group.rankInGroup()), 3)
                    .buffer();
            for (int times = 0; times < 20; times++) {
                group.allReduce(x, ReduceOp.MAX);
            }
            assertThat(x.toHost().floats()).containsExactly(1, 2, size - 1f);
            assertThat(group.isRecordable()).isFalse();
            return true;
        });
        assertThat(driver.launches()).isPositive();
    }

    @Test
    void whereDevicesDoNotReachEachOtherGroupsGoThroughTheHostOrRefuse() {
        StandIn driver = StandIn.require();
        driver.setReach(false);
        CudaOptions any = CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS).withNccl(NcclOptions.NONE);
        long before = driver.launches();
        inWorld(2, 2, any, (world, kernels) -> {
            Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().floats()).containsExactly(2, 4);
            return true;
        });
        assertThat(driver.launches()).as("kernels").isEqualTo(before);
        assertThatThrownBy(() -> inWorld(2, 2, PeerCommunicatorTest.OPTIONS, (world, kernels) -> true))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("does not reach that of rank")
                .hasMessageContaining("spark.lockstep.gpu.peer=auto");
    }

    @Test
    void whereADeviceHasNoRoomForAnotherPeerGroupsGoThroughTheHostOrRefuse() {
        StandIn driver = StandIn.require();
        driver.setPeers(1);
        try {
            CudaOptions any =
                    CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS).withNccl(NcclOptions.NONE);
            inWorld(3, 3, any, (world, kernels) -> {
                Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
                world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                assertThat(x.toHost().floats()).containsExactly(3, 6);
                return true;
            });
            assertThatThrownBy(() -> inWorld(3, 3, PeerCommunicatorTest.OPTIONS, (world, kernels) -> true))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("has as many peers as the driver lets it have");
        } finally {
            driver.setPeers(8);
        }
    }

    @Test
    void groupsOfOneDeviceDoSoWithoutBeingAsked() {
        StandIn driver = StandIn.require();
        CudaOptions any = CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS);
        long before = driver.launches();
        inWorld(2, 1, any, (world, kernels) -> {
            Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().floats()).containsExactly(2, 4);
            return true;
        });
        assertThat(driver.launches()).as("kernels").isEqualTo(before + 2);
        inWorld(2, 1, any.withPeer(PeerOptions.NONE), (world, kernels) -> {
            Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
            world.communicators().tensor().allReduce(x, ReduceOp.SUM);
            assertThat(x.toHost().floats()).containsExactly(2, 4);
            return true;
        });
        assertThat(driver.launches()).as("kernels, through the host").isEqualTo(before + 2);
    }

    @Test
    void whoDoesNotComeIsNamedAtTheDeadline() {
        CompletableFuture<Thread> first = new CompletableFuture<>();
        CountDownLatch over = new CountDownLatch(2);
        inWorld(3, 1, PeerCommunicatorTest.OPTIONS, (world, kernels) -> {
            int rank = world.state().rank();
            if (rank == 2) {
                over.await();
                return true;
            }
            Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
            Communicator group = world.communicators().tensor();
            if (rank == 0) {
                first.complete(Thread.currentThread());
            } else { // it has come before any time runs, or it would be named too
                Thread waiting = first.join();
                await().until(() -> LockSupport.getBlocker(waiting) != null);
            }
            Communicator limited = rank == 0 ? group : group.within(Duration.ofMillis(500));
            CommunicatorException failure =
                    catchThrowableOfType(CommunicatorException.class, () -> limited.allReduce(x, ReduceOp.SUM));
            over.countDown();
            Ranks.assertAll(
                    List.of(failure),
                    ErrorCode.COLLECTIVE_TIMEOUT,
                    "all_reduce #1 sum f32[2] in tp[0]={0,1,2} not complete in 0.5 s",
                    "rank 2 did not come");
            return true;
        });
    }

    /** What was sent waits in the sender's memory, which it gives back when it was taken. */
    @Test
    void whatIsSentStaysAsItWas() {
        CyclicBarrier both = new CyclicBarrier(2);
        inWorld(2, 1, PeerCommunicatorTest.OPTIONS, (world, kernels) -> {
            Communicator group = world.communicators().tensor();
            for (int n = 0; n < 10; n++) {
                if (group.rankInGroup() == 0) {
                    Buffer x = kernels.upload(Buffer.ofFloats(n), 1).buffer();
                    group.send(x, 1);
                    Tensor again = new Tensor(x, Shape.of(1));
                    kernels.add(again, again); // the sender goes on with it
                    x.close();
                }
            }
            both.await();
            for (int n = 0; n < 10; n++) {
                if (group.rankInGroup() == 1) {
                    Buffer y = kernels.zeros(DataType.F32, 1).buffer();
                    group.receive(y, 0);
                    assertThat(y.toHost().floats()).containsExactly(n);
                    y.close();
                }
            }
            return true;
        });
    }

    /** Who waits because its device is far behind holds nothing that the abort needs. */
    @Test
    void anAbortEndsRanksThatAreFarAheadOfTheirDevice() {
        StandIn driver = StandIn.require();
        AtomicInteger operations = new AtomicInteger();
        CyclicBarrier both = new CyclicBarrier(2);
        try {
            inWorld(2, 1, PeerCommunicatorTest.OPTIONS, (world, kernels) -> {
                Communicator group = world.communicators().tensor();
                Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
                group.allReduce(x, ReduceOp.SUM);
                x.toHost();
                both.await();
                CompletableFuture<Void> aborted = CompletableFuture.completedFuture(null);
                if (world.state().rank() == 0) {
                    driver.hold(true);
                    aborted = CompletableFuture.runAsync(() -> {
                        AtomicInteger seen = new AtomicInteger(-1);
                        await().atMost(Duration.ofMinutes(1))
                                .pollInterval(Duration.ofMillis(100))
                                .until(() ->
                                        operations.get() > 9 && seen.getAndSet(operations.get()) == operations.get());
                        world.abort(new IllegalStateException("enough"));
                    });
                }
                both.await();
                CommunicatorException failure = null;
                while (failure == null) {
                    failure = catchThrowableOfType(CommunicatorException.class, () -> group.allReduce(x, ReduceOp.SUM));
                    operations.incrementAndGet();
                }
                aborted.get(1, TimeUnit.MINUTES);
                driver.hold(false);
                Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 0", "enough");
                return true;
            });
        } finally {
            driver.hold(false);
        }
        assertThat(operations).hasValueLessThan(1000); // of both ranks; each is some launches
    }

    @Test
    void anAbortBetweenOperationsEndsAllAndLeavesNothing() {
        for (int times = 0; times < 20; times++) {
            inWorld(3, 1, PeerCommunicatorTest.OPTIONS, (world, kernels) -> {
                Buffer x = kernels.upload(Buffer.ofFloats(1, 2), 2).buffer();
                Communicator group = world.communicators().tensor();
                if (world.state().rank() == 1) {
                    group.allReduce(x, ReduceOp.SUM);
                    world.abort(new IllegalStateException("the row is cursed"));
                    return true;
                }
                CommunicatorException failure = null;
                while (failure == null) {
                    failure = catchThrowableOfType(CommunicatorException.class, () -> group.allReduce(x, ReduceOp.SUM));
                }
                x.close();
                Ranks.assertAll(List.of(failure), ErrorCode.ABORTED, "because of rank 1", "the row is cursed");
                return true;
            });
        }
    }
}
