package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.lockstep.cuda.CudaWorlds.floats;
import static org.lockstep.cuda.NcclWorldTest.inWorld;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Ranks;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** Memory of a device that is given back while an operation on it is queued whose peer has not come (F29). */
@Timeout(120)
@HostCuda
@FaultCase("F29")
class MemoryInFlightTest {
    private static final WorldSpec SPEC = WorldSpec.of(ParallelSizes.tensor(2)).withKinds(Set.of(GroupKind.TENSOR));

    /** More than a chunk: such memory goes back to the driver when it is closed. */
    private static final int LARGE = 5_000_000;

    @BeforeEach
    void show() {
        StandInNccl.require();
        StandIn.require().setDevices(2);
    }

    @AfterEach
    void nothingIsLeft() {
        assertThat(StandInNccl.require().communicators()).isZero();
        assertThat(StandIn.require().allocations()).isZero();
        StandIn.require().setDevices(1);
    }

    private static Communicator tensor(World world) {
        return world.communicators().tensor();
    }

    private static Buffer large(Kernels kernels) {
        float[] threes = new float[LARGE];
        Arrays.fill(threes, 3);
        return floats(kernels, threes);
    }

    private static void assertRefused(Runnable use) {
        assertThatThrownBy(use::run)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("bytes on cuda:0 is used after it was closed");
    }

    @Test
    void whoGetsItNextIsBehindTheOperation() {
        CountDownLatch reused = new CountDownLatch(1);
        List<float[]> seen = inWorld(SPEC, 2, (world, kernels) -> {
            Buffer x = floats(kernels, 1, 2);
            if (world.state().rank() == 1) {
                reused.await();
                tensor(world).allReduce(x, ReduceOp.SUM);
                return x.toHost().toFloats();
            }
            tensor(world).allReduce(x, ReduceOp.SUM);
            long address = ((DeviceBuffer) x).address();
            x.close();
            Buffer next = floats(kernels, 30, 40);
            assertThat(((DeviceBuffer) next).address()).as("the same memory").isEqualTo(address);
            assertThat(tensor(world).flight().underWay()).hasSize(1);
            reused.countDown();
            assertThat(next.toHost().toFloats()).containsExactly(30, 40);
            return new float[] {2, 4};
        });
        assertThat(seen).allSatisfy(sum -> assertThat(sum).containsExactly(2, 4));
    }

    @Test
    void whatGoesBackToTheDriverWaitsForTheOperation() {
        CompletableFuture<Thread> closing = new CompletableFuture<>();
        inWorld(SPEC, 2, (world, kernels) -> {
            Buffer x = large(kernels);
            if (world.state().rank() == 0) {
                tensor(world).allReduce(x, ReduceOp.SUM);
                closing.complete(Thread.currentThread());
                x.close();
                assertThat(tensor(world).flight().underWay()).isEmpty();
                assertRefused(x::toHost);
                return true;
            }
            Thread peer = closing.join();
            Awaitility.await().pollInterval(Duration.ofMillis(1)).until(() -> waits(peer));
            tensor(world).allReduce(x, ReduceOp.SUM);
            assertThat(x.slice(LARGE - 1, 1).toHost().toFloats()).containsExactly(6);
            return true;
        });
    }

    /** Whether it waits for the device. */
    private static boolean waits(Thread thread) {
        return List.of(thread.getStackTrace()).stream()
                .anyMatch(frame -> frame.getClassName().equals(CudaDevice.class.getName())
                        && frame.getMethodName().equals("synchronize"));
    }

    @Test
    void anOperationWhosePeerNeverComesEndsThatWaitAtItsDeadline() {
        CountDownLatch over = new CountDownLatch(1);
        inWorld(SPEC.withOperationTimeout(Duration.ofMillis(500)), 2, (world, kernels) -> {
            if (world.state().rank() == 1) {
                over.await();
                return true;
            }
            Buffer x = large(kernels);
            tensor(world).allReduce(x, ReduceOp.SUM);
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, x::close);
            Ranks.assertAll(List.of(failure), ErrorCode.COLLECTIVE_TIMEOUT, "all_reduce #1", "rank 1 did not come");
            assertRefused(x::toHost);
            over.countDown();
            return true;
        });
    }

    /** The world is not closed before, as where a task is killed: the end of the memory aborts what is queued. */
    @Test
    void theEndOfAllMemoryOfARankAbortsTheOperation() {
        CountDownLatch over = new CountDownLatch(1);
        CyclicBarrier connected = new CyclicBarrier(2);
        LocalWorld.of(2).run(rendezvous -> {
            VisibleDevice device = StandIn.devices().get(rendezvous.index());
            CudaOptions options =
                    CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS).withNccl(NcclOptions.DEFAULT.withUse(Use.ON));
            try (CudaBackend backend = CudaBackend.create(device, CpuBackend.create(), options);
                    World world = World.join(rendezvous, backend, SPEC)) {
                connected.await();
                Buffer x = floats(backend.kernels(), 1, 2);
                if (world.state().rank() == 1) {
                    over.await();
                    return true;
                }
                tensor(world).allReduce(x, ReduceOp.SUM);
                backend.close();
                assertThatThrownBy(x::toHost)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining(
                                "on cuda:0 is used after all of its rank were closed: call toHost() before");
                assertThatThrownBy(() -> tensor(world).allReduce(x, ReduceOp.SUM))
                        .isInstanceOf(CommunicatorException.class)
                        .hasMessageContaining("all_reduce in tp[0]={0,1} after close");
                over.countDown();
                return true;
            }
        });
    }

    /** Also where half of the operation was called before that was seen: it ends with the groups. */
    @ParameterizedTest
    @EnumSource
    void whoUsesWhatItClosedIsRefusedAndItsPeersAreTold(Misuse use) {
        inWorld(SPEC, 2, (world, kernels) -> {
            Buffer open = floats(kernels, 1, 2);
            Buffer other = floats(kernels, 3, 4);
            if (world.state().rank() == 0) {
                other.close();
                assertRefused(() -> use.call(tensor(world), open, other));
                return true;
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, () -> {
                use.call(tensor(world), open, other);
                other.toHost();
            });
            Ranks.assertAll(
                    List.of(failure), ErrorCode.ABORTED, "because of rank 0", "on cuda:0 is used after it was closed");
            return true;
        });
    }

    private enum Misuse {
        TRANSFERS,
        ALL_TO_ALL,
        ALL_REDUCE;

        void call(Communicator tensor, Buffer open, Buffer other) {
            switch (this) {
                case TRANSFERS ->
                    tensor.grouped(group -> {
                        group.send(open, 1 - tensor.rankInGroup());
                        group.receive(other, 1 - tensor.rankInGroup());
                    });
                case ALL_TO_ALL -> tensor.allToAll(open, other);
                case ALL_REDUCE -> tensor.allReduce(open, other, ReduceOp.SUM);
            }
        }
    }
}
