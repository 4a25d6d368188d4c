package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import jcuda.driver.CUresult;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.lockstep.LockstepException;
import org.lockstep.tensor.DataType;

/** What is left where a driver refuses the second of two things, or has failed before all are given back: nothing. */
@HostCuda
class RefusalsTest {
    private static final int MANY = 5000; // ints: more than there is room for at first

    private final StandIn driver = StandIn.require();
    private final long pinned = driver.pinned();
    private final long events = driver.events();
    private final CudaDevice device = CudaDevice.open(driver.device());

    @AfterEach
    void nothingIsLeft() {
        driver.refusePinnedAfter(-1);
        driver.refuseAllocationAfter(-1);
        device.close();
        assertThat(driver.pinned()).isEqualTo(pinned);
        assertThat(driver.events()).isEqualTo(events);
        assertThat(driver.allocations()).isZero();
    }

    private static void assertRefused(Runnable call) {
        assertThatThrownBy(call::run).isInstanceOf(LockstepException.class).hasMessageContaining("OUT_OF_MEMORY");
    }

    @Test
    void ofStagingWhoseSecondHalfIsRefused() {
        driver.refusePinnedAfter(1);
        assertRefused(() -> Staging.allocate(device));
    }

    @Test
    void ofIntsThatCannotGrow() {
        try (DeviceArena arena = DeviceArena.create(device, 64 << 20);
                DeviceInts ints = new DeviceInts(device, arena, () -> {})) {
            for (int turns = 0; turns < 5; turns++) {
                ints.of(new int[] {1, 2, 3});
            }
            driver.refusePinnedAfter(0);
            assertRefused(() -> ints.begin(MANY));
            for (int turns = 0; turns < 5; turns++) {
                assertThat(ints.of(new int[MANY])).isNotZero();
            }
        }
    }

    @Test
    void ofScratchThatCannotGrow() {
        AtomicInteger moves = new AtomicInteger();
        try (DeviceArena arena = DeviceArena.create(device, 64 << 20)) {
            Scratch scratch = new Scratch(arena, DataType.F32, moves::incrementAndGet);
            assertThat(scratch.of(1000)).isSameAs(scratch.of(10));
            driver.refuseAllocationAfter(0);
            assertRefused(() -> scratch.of(10_000_000));
            assertThat(moves).hasValue(1);
            assertThat(scratch.of(10).address()).isNotZero();
            assertThat(scratch.of(10_000_000).length()).isEqualTo(10_000_000);
            assertThat(moves).hasValue(2);
        }
    }

    @Test
    void ofAStreamAfterAFault() throws IOException {
        device.enter();
        OwnStream stream = OwnStream.open(device, false);
        stream.begin(stream.mark());
        stream.mark();
        stream.mark();
        try (Launches faulty = new Launches()) {
            driver.failLaunchAfter(0, CUresult.CUDA_ERROR_LAUNCH_FAILED);
            faulty.launch("add", new int[] {1}, 256, faulty.of(1f), faulty.of(1f), 1L);
            assertThat(faulty.synchronize()).isEqualTo(CUresult.CUDA_ERROR_LAUNCH_FAILED);
            assertThatThrownBy(stream::close).hasMessageContaining("cuStreamDestroy");
            assertThat(driver.events()).isEqualTo(events);
            assertThatThrownBy(device::close).hasMessageContaining("CUDA_ERROR_LAUNCH_FAILED");
        } finally {
            driver.failLaunchAfter(-1, 0);
        }
        assertThat(driver.renew()).as("nobody holds it").isTrue();
    }
}
