package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.sun.jna.Pointer;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicInteger;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Work;
import org.lockstep.collective.WorldSpec;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ParallelSizes;

/** What is queued ({@code async}) on devices goes beside what else they are given, in order with it where it was given before. */
@HostCuda
@Timeout(60)
class NcclQueueTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2));
    private static final WorldSpec SQUARE = WorldSpec.of(ParallelSizes.tensor(2).withPipeline(2));
    private static final Duration LONG = Duration.ofMinutes(10);

    @BeforeEach
    void show() {
        StandIn.require().setDevices(2);
    }

    @AfterEach
    void hide() {
        assertThat(StandInNccl.require().communicators()).isZero();
        StandIn.require().setDevices(1);
    }

    @Test
    void workIsDoneBesideWhatTheDeviceIsGivenLater() {
        NcclWorldTest.inWorld(SPEC, 2, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2); // not waited for
            Buffer later = CudaWorlds.floats(kernels, 3, 4);
            later.toHost();
            Work work = world.communicators().tensor().async(group -> group.allReduce(x, ReduceOp.SUM));
            ((DeviceBuffer) later).zero();

            work.await();

            assertThat(work.isDone()).isTrue();
            assertThat(raw(x)).containsExactly(2, 4);
            assertThat(raw(later)).as("nobody waited for it").containsExactly(3, 4);
            assertThat(later.toHost().floats()).containsExactly(0, 0);
            return true;
        });
    }

    @Test
    void operationsOfAllKindsGoThereOneAfterTheOther() {
        NcclWorldTest.inWorld(SPEC, 2, (world, kernels) -> {
            int rank = world.state().rank();
            Buffer mine = CudaWorlds.floats(kernels, rank, 10 + rank);
            Buffer all = CudaWorlds.floats(kernels, 0, 0, 0, 0);
            Buffer turned = CudaWorlds.floats(kernels, 0, 0, 0, 0);
            Buffer peers = CudaWorlds.floats(kernels, 0, 0);
            Work first = world.communicators().tensor().async(group -> {
                group.allGather(mine, all);
                group.allToAll(all, turned);
            });
            Work second = world.communicators()
                    .tensor()
                    .async(group -> group.grouped(together -> {
                        together.send(mine);
                        together.receive(peers);
                    }));
            second.await();
            assertThat(first.isDone()).isTrue();
            assertThat(raw(all)).containsExactly(0, 10, 1, 11);
            assertThat(raw(turned)).containsExactly(rank, 10 + rank, rank, 10 + rank);
            assertThat(raw(peers)).containsExactly(1 - rank, 11 - rank);
            world.communicators().tensor().allReduce(mine, ReduceOp.SUM); // in the rank's own stream again
            assertThat(mine.toHost().floats()).containsExactly(1, 21);
            return true;
        });
    }

    @Test
    void whoDoesNotComeToQueuedWorkIsNamed() {
        CountDownLatch over = new CountDownLatch(1);
        NcclWorldTest.inWorld(
                SPEC.withOperations(SPEC.operations().withTimeout(Duration.ofSeconds(1))), 2, (world, kernels) -> {
                    Buffer x = CudaWorlds.floats(kernels, 1, 2);
                    if (world.state().rank() == 1) {
                        over.await();
                        return true;
                    }
                    Work work = world.communicators().tensor().async(group -> group.allReduce(x, ReduceOp.SUM));
                    assertThatThrownBy(work::await)
                            .isInstanceOfSatisfying(
                                    CommunicatorException.class,
                                    failure -> assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT))
                            .hasMessageContaining("all_reduce #1")
                            .hasMessageContaining("rank 1");
                    over.countDown();
                    return true;
                });
    }

    /** Of one group, while another has nothing under way. */
    @Test
    void longWorkIsNoTimeoutOfAnotherGroup() {
        StandIn.require().setDevices(4);
        Duration brief = Duration.ofSeconds(1);
        CompletableFuture<Work> begun = new CompletableFuture<>();
        CyclicBarrier all = new CyclicBarrier(4);
        NcclWorldTest.inWorld(SQUARE.withOperations(SQUARE.operations().withTimeout(brief)), 4, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            all.await();
            world.communicators().pipeline().within(LONG).allReduce(x, ReduceOp.SUM);
            x.toHost();
            if (world.state().rank() == 1) {
                Work peers = begun.join();
                await().until(() -> peers.isDone() || peers.duration().compareTo(brief.multipliedBy(2)) > 0);
            }
            if (world.state().rank() < 2) {
                Work work = world.communicators()
                        .tensor()
                        .async(group -> group.within(LONG).allReduce(x, ReduceOp.SUM));
                begun.complete(work);
                work.await();
                assertThat(raw(x)).containsExactly(4, 8);
            }
            all.await();
            return true;
        });
    }

    /** What waits in a stream of its own is not ahead of what waits in the rank's. */
    @Test
    void aDeadlineRunsBesideThatOfQueuedWork() {
        StandIn.require().setDevices(4);
        CountDownLatch over = new CountDownLatch(1);
        NcclWorldTest.inWorld(
                SQUARE.withOperations(SQUARE.operations().withTimeout(Duration.ofSeconds(1))), 4, (world, kernels) -> {
                    Buffer x = CudaWorlds.floats(kernels, 1, 2);
                    Buffer y = CudaWorlds.floats(kernels, 3, 4);
                    if (world.state().rank() != 0) {
                        over.await();
                        return true;
                    }
                    Communicator tensor = world.communicators().tensor();
                    tensor.async(group -> group.within(LONG).allReduce(x, ReduceOp.SUM));
                    await().until(() -> !tensor.flight().underWay().isEmpty());
                    world.communicators().pipeline().allReduce(y, ReduceOp.SUM);
                    assertThatThrownBy(y::toHost) // found by this thread, or by the queue's
                            .isInstanceOf(CommunicatorException.class)
                            .hasMessageContaining("COLLECTIVE_TIMEOUT")
                            .hasMessageContaining("in pp[0]={0,2} not complete in 1.0 s: rank 2 did not come");
                    over.countDown();
                    return true;
                });
    }

    @Test
    void anAbortEndsQueuedWork() {
        CountDownLatch over = new CountDownLatch(1);
        NcclWorldTest.inWorld(SPEC, 2, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            if (world.state().rank() == 1) {
                over.await();
                return true;
            }
            CountDownLatch begun = new CountDownLatch(1);
            Work work = world.communicators().tensor().async(group -> {
                begun.countDown();
                group.allReduce(x, ReduceOp.SUM);
            });
            begun.await();
            world.abort(new IllegalStateException("enough"));
            assertThatThrownBy(work::await)
                    .isInstanceOf(CommunicatorException.class)
                    .hasMessageContaining("enough");
            over.countDown();
            return true;
        });
    }

    @Test
    void nothingIsQueuedWhileAGraphIsRecorded() {
        NcclWorldTest.inWorld(SPEC, 2, (world, kernels) -> {
            Buffer x = CudaWorlds.floats(kernels, 1, 2);
            x.toHost();
            CudaDevice device = ((DeviceArena.Block) x.memory()).arena().device();
            CudaError.check(
                    JCudaDriver.cuStreamBeginCapture(
                            device.stream(), CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                    "cuStreamBeginCapture");
            assertThatThrownBy(() -> world.communicators().tensor().async(group -> group.allReduce(x, ReduceOp.SUM)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("while a graph of")
                    .hasMessageContaining("is recorded");
            CUgraph graph = new CUgraph();
            CudaError.check(JCudaDriver.cuStreamEndCapture(device.stream(), graph), "cuStreamEndCapture");
            CudaError.check(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
            world.communicators()
                    .tensor()
                    .async(group -> group.allReduce(x, ReduceOp.SUM))
                    .await();
            assertThat(raw(x)).containsExactly(2, 4);
            return true;
        });
    }

    /** It has no event that tells how far the device is. */
    @Test
    void whoDoesNotComeToWhatAGraphRepeatsIsNamed() {
        CountDownLatch over = new CountDownLatch(1);
        NcclWorldTest.inWorld(
                SPEC.withOperations(SPEC.operations().withTimeout(Duration.ofSeconds(1))), 2, (world, kernels) -> {
                    Buffer x = CudaWorlds.floats(kernels, 1, 2);
                    x.toHost();
                    if (world.state().rank() == 1) {
                        over.await();
                        return true;
                    }
                    CUstream stream = ((DeviceArena.Block) x.memory()).arena().device().stream();
                    CudaError.check(
                            JCudaDriver.cuStreamBeginCapture(
                                    stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                            "cuStreamBeginCapture");
                    world.communicators().tensor().allReduce(x, ReduceOp.SUM);
                    CUgraph graph = new CUgraph();
                    CudaError.check(JCudaDriver.cuStreamEndCapture(stream, graph), "cuStreamEndCapture");
                    CUgraphExec made = new CUgraphExec();
                    CudaError.check(JCudaDriver.cuGraphInstantiate(made, graph, 0), "cuGraphInstantiate");
                    CudaError.check(JCudaDriver.cuGraphLaunch(made, stream), "cuGraphLaunch");
                    assertThatThrownBy(x::toHost)
                            .isInstanceOfSatisfying(
                                    CommunicatorException.class,
                                    failure -> assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT))
                            .hasMessageContaining("all_reduce #1")
                            .hasMessageContaining("rank 1");
                    CudaError.check(JCudaDriver.cuGraphExecDestroy(made), "cuGraphExecDestroy");
                    CudaError.check(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
                    over.countDown();
                    return true;
                });
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theStreamBesideTheRanksHasThePriorityThatIsAskedFor(boolean high) {
        CudaDevice device = CudaDevice.open(StandIn.devices().get(0));
        try (device;
                OwnStream own = OwnStream.open(device, high)) {
            int[] priority = new int[1];
            CudaError.check(JCudaDriver.cuStreamGetPriority(own.stream(), priority), "cuStreamGetPriority");
            assertThat(priority[0]).isEqualTo(high ? -5 : 0);
        }
    }

    /** The driver answers a question about a stream that is no more with a crash. */
    @Test
    void whoWaitsForAStreamThatWasClosedLooksAndAsksTheDriverNothing() {
        CudaDevice device = CudaDevice.open(StandIn.devices().get(0));
        try (device) {
            OwnStream own = OwnStream.open(device, false);
            own.close();
            AtomicInteger looks = new AtomicInteger();
            own.await(looks::incrementAndGet);
            assertThat(looks).hasValue(1);
        }
    }

    /** What lies there now, waiting for nothing: the stand-in's device memory is host memory. */
    private static float[] raw(Buffer buffer) {
        return new Pointer(((DeviceBuffer) buffer).address()).getFloatArray(0, (int) buffer.length());
    }
}
