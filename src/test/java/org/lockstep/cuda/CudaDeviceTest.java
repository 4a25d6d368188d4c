package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.time.Duration;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

@HostCuda
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
            CUdevice ordinal = new CUdevice();
            Launches.check(JCudaDriver.cuDeviceGet(ordinal, 1));
            Launches.check(JCudaDriver.cuDevicePrimaryCtxRelease(ordinal)); // what it never does
            driver.hurtExchange(
                    -1, false); // not before: the kernel would go on, over memory that nobody has written to
            driver.setDevices(1);
        }
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
