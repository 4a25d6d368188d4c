package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;
import org.lockstep.topology.ParallelSizes;

@HostCuda
@Timeout(120)
class CudaDeviceTest {
    private static final int MEMORY = 1 << 20;

    private final StandIn driver = StandIn.require();
    private final long events = driver.events();
    private final CudaDevice device = CudaDevice.open(driver.device());

    @AfterEach
    void nothingIsLeft() {
        device.close();
        assertThat(driver.allocations()).isZero();
        assertThat(driver.events()).isEqualTo(events);
    }

    /** The stand-in does what is queued when it is asked, one operation each time, and tells of it when it is asked again. */
    @Test
    void theDeviceIsAskedAfterTheTimeToWaitForItToo() {
        device.enter();
        long address = device.allocate(16);
        device.zero(address, 16);
        assertThat(device.synchronize(Duration.ZERO, () -> {}))
                .as("asked once, for no time to wait")
                .isFalse();
        assertThat(device.synchronize(Duration.ZERO, () -> {})).isTrue();
        device.zero(address, 16);
        assertThat(device.synchronize(Duration.ofNanos(1), () -> {}))
                .as("asked again when that time is over")
                .isTrue();
        device.release(address);
    }

    /** As where a task was killed: the end of its rank still waits, and the task still hears of it. */
    @Test
    void whoWasInterruptedWaitsForWhatIsGivenBackAndStaysInterrupted() {
        device.enter();
        long address = device.allocate(16);
        Thread.currentThread().interrupt();
        for (int times = 0; times < 9; times++) { // more than two looks move the stand-in on by
            device.zero(address, 16);
        }
        device.finish();
        assertThat(Thread.interrupted()).isTrue();
        device.release(address);
    }

    /** As a kernel that waits for a peer that never comes, and hears nobody: what frees something of its device waits for it. */
    @Test
    void whatDoesNotEndIsGivenUpAndNothingOfItIsFreed() {
        driver.setDevices(2);
        CudaDevice stuck = CudaDevice.open(StandIn.devices().get(1));
        stuck.enter();
        ExchangeKernels kernels = ExchangeKernels.load(stuck);
        Pinned word = Pinned.allocate(stuck, 2 * Long.BYTES);
        word.bytes().putLong(0, 0).putLong(Long.BYTES, 0);
        long memory = stuck.allocate(MEMORY);
        long pinned = driver.pinned();
        driver.hurtExchange(1, true);
        try {
            ExchangeCall call = ExchangeTrial.of(0, 2, MEMORY / 4).call();
            kernels.launch(stuck.stream(), memory, 0, 2, MEMORY / 4, call, 1, false, word.address(), memory);
            assertThatThrownBy(() -> stuck.finish(Duration.ofMillis(20)))
                    .isInstanceOfSatisfying(LockstepException.class, e -> {
                        assertThat(e.code()).isEqualTo(ErrorCode.DEVICE_LOST);
                        assertThat(e.summary()).contains("does not come to its end: 1,048,576 bytes");
                    });
            assertThatThrownBy(stuck::enter).hasMessageContaining("does not come to its end");
            assertThatThrownBy(kernels::close).hasMessageContaining("does not come to its end");
            word.close();
            stuck.release(memory);
            stuck.close();
            assertThat(driver.pinned()).isEqualTo(pinned);
            assertThat(stuck.memory()).containsKey(memory);
        } finally {
            letGoOfTheSecond();
            driver.hurtExchange(
                    -1, false); // not before: the kernel would go on, over memory that nobody has written to
            driver.setDevices(1);
        }
    }

    /** What is given up never does. */
    static void letGoOfTheSecond() {
        CUdevice ordinal = new CUdevice();
        Launches.check(JCudaDriver.cuDeviceGet(ordinal, 1));
        Launches.check(JCudaDriver.cuDevicePrimaryCtxRelease(ordinal));
    }

    /** In a world of one nobody else would miss the rank. */
    @Test
    void aKernelThatNeverEndsEndsTheWaitAtTheDeadlineOfItsWorld() {
        driver.setDevices(2);
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(1)).withOperationTimeout(Duration.ofMillis(50));
        try {
            LocalWorld.of(1).run(rendezvous -> {
                CudaBackend backend = CudaBackend.create(
                        StandIn.devices().get(1),
                        CpuBackend.create(),
                        CudaOptions.DEFAULT.withCublas(CudaOptions.NO_CUBLAS));
                World world = World.join(rendezvous, backend, spec);
                Kernels kernels = backend.kernels();
                Tensor x = kernels.upload(Buffer.ofFloats(1, 2), 2);
                kernels.swiGlu(x, x);
                x.buffer().toHost(); // waits for an event alone, as every step does
                driver.hold(true);
                kernels.add(x, x);
                kernels.swiGlu(x, x);
                assertThatThrownBy(kernels::synchronize).isInstanceOfSatisfying(LockstepException.class, e -> {
                    assertThat(e.code()).isEqualTo(ErrorCode.DEVICE_LOST);
                    assertThat(e.summary())
                            .contains(
                                    StandIn.devices().get(1) + " (2 kernels, from add to swiglu)",
                                    "does not come to its end in 0.05 s: ");
                    assertThat(e.advice()).contains("spark.lockstep.collective.timeout", "another process");
                });
                world.close();
                assertThatThrownBy(backend::close)
                        .as("at once, and without the driver")
                        .hasMessageContaining("does not come to its end");
                return true;
            });
        } finally {
            letGoOfTheSecond();
            driver.hold(false);
            driver.setDevices(1);
        }
    }

    /** Of a thousand launches that a device has not come to a driver would wait for the next one itself. */
    @Test
    void whoQueuesFarMoreThanTheDeviceComesToWaitsWhereThatCanBeEnded() {
        driver.setDevices(2);
        CudaDevice stuck = CudaDevice.open(StandIn.devices().get(1));
        stuck.enter();
        KernelModule kernels = KernelModule.load(stuck, List.of("rows"));
        long memory = stuck.allocate(Float.BYTES);
        stuck.zero(memory, Float.BYTES);
        int[] launches = new int[1];
        Runnable launch = () -> {
            kernels.with().pointer(memory).pointer(memory).wide(1).launch("add", 1, 32);
            launches[0]++;
            stuck.backlog().await();
        };
        try {
            for (int times = 0; times < 3000; times++) {
                launch.run();
            }
            stuck.synchronize();
            launches[0] = 0;
            stuck.limit(Duration.ofMillis(50));
            driver.hold(true);
            assertThatThrownBy(() -> {
                        while (launches[0] < 512) {
                            launch.run();
                        }
                    })
                    .hasMessageContainingAll("DEVICE_LOST", "does not come to its end in 0.05 s");
            assertThat(launches[0])
                    .as("enough that a device has something to do")
                    .isGreaterThan(100);
        } finally {
            letGoOfTheSecond();
            driver.hold(false);
            driver.setDevices(1);
        }
    }

    /** As the watchdog does where Spark has killed its task. */
    @Test
    void whoWaitsForAKernelThatNeverEndsCanBeInterrupted() throws Exception {
        device.enter();
        KernelModule kernels = KernelModule.load(device, List.of("rows"));
        long memory = device.allocate(2 * Float.BYTES);
        device.zero(memory, 2 * Float.BYTES);
        device.synchronize();
        driver.hold(true);
        try {
            kernels.with().pointer(memory).pointer(memory).wide(2).launch("add", 1, 256);
            CompletableFuture<Void> waiting = new CompletableFuture<>();
            Thread rank = new Thread(() -> {
                device.enter();
                try {
                    device.synchronize();
                    waiting.complete(null);
                } catch (LockstepException ended) {
                    waiting.completeExceptionally(ended);
                }
            });
            rank.start();
            rank.interrupt(); // before it waits or meanwhile, it is all one
            assertThatThrownBy(() -> waiting.get(1, TimeUnit.MINUTES))
                    .hasCauseInstanceOf(LockstepException.class)
                    .hasMessageContainingAll("ABORTED", "the thread that waits for " + device + " was interrupted");
            rank.join();
        } finally {
            driver.hold(false);
        }
        device.synchronize();
        device.release(memory);
        kernels.close();
    }

    @Test
    void afterAFaultItLetsGoOfItsStreamAndItsContext() throws IOException {
        try (Launches ofNothing = new Launches()) {
            driver.failLaunchAfter(0, CUresult.CUDA_ERROR_LAUNCH_FAILED);
            ofNothing.launch("add", new int[] {1}, 256, ofNothing.of(1f), ofNothing.of(1f), 1L);
            assertThat(ofNothing.synchronize()).isEqualTo(CUresult.CUDA_ERROR_LAUNCH_FAILED);
            assertThatThrownBy(device::close)
                    .isInstanceOfSatisfying(
                            LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.DEVICE_LOST))
                    .hasMessageContaining("CUDA_ERROR_LAUNCH_FAILED");
        } finally {
            driver.failLaunchAfter(-1, 0);
        }
        assertThat(driver.renew()).as("nobody holds it").isTrue();
    }

    @Test
    void noEventIsLeftOfPinnedMemoryThatThereIsNot() {
        assertThatThrownBy(() -> Pinned.allocate(device, Integer.MIN_VALUE)).hasMessageContaining("cuMemHostAlloc");
        assertThat(driver.events()).isEqualTo(events);
    }
}
