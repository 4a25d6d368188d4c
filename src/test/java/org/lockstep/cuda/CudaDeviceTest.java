package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

@HostCuda
class CudaDeviceTest {
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

    @Test
    void noEventIsLeftOfPinnedMemoryThatThereIsNot() {
        assertThatThrownBy(() -> Pinned.allocate(device, Integer.MIN_VALUE)).hasMessageContaining("cuMemHostAlloc");
        assertThat(driver.events()).isEqualTo(events);
    }
}
