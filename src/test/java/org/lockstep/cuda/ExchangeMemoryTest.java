package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.stream.IntStream;
import jcuda.driver.CUevent;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Identity;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ProcessGroup;

/** What becomes of memory for all-reduces by kernels where the first of them does not come to its end. */
@Timeout(120)
@HostCuda
class ExchangeMemoryTest {
    private static final ProcessGroup GROUP = ProcessGroup.of("tp", 0, 4, 5);
    private static final Duration LONG = Duration.ofSeconds(60);
    private static final long LIMIT = 1 << 10;

    private final Venue venue = new Venue();
    private final UUID attempt = new UUID(0, 1);
    private final List<CudaDevice> devices = new ArrayList<>();
    private final List<ExchangeMemory> memories = new ArrayList<>();

    @BeforeEach
    void show() {
        StandIn.require().setDevices(2);
        StandIn.devices().forEach(seen -> devices.add(CudaDevice.open(seen)));
    }

    @AfterEach
    void nothingIsLeft() {
        devices.forEach(CudaDevice::close);
        assertThat(StandIn.require().allocations()).isZero();
        assertThat(StandIn.require().events()).isZero();
        assertThat(venue.isEmpty()).isTrue();
        StandIn.require().setDevices(1);
    }

    private ExchangeMemory allocate(int me) {
        ExchangeRoom room = ExchangeRoom.enter(venue, attempt, GROUP);
        return ExchangeMemory.allocate(devices.get(me), room, GROUP, me, LIMIT).orElseThrow();
    }

    /** The memory of both ranks, each of which reaches the other's. */
    private void connect() {
        IntStream.range(0, 2).forEach(me -> memories.add(allocate(me)));
        List<byte[]> records = memories.stream().map(ExchangeMemory::toRecord).toList();
        List<Identity.Gpu> gpus =
                devices.stream().map(device -> device.seen().gpu()).toList();
        memories.forEach(
                each -> assertThat(each.open(records, gpus, rank -> true)).isEmpty());
    }

    private void leave() {
        for (int me = 0; me < 2; me++) {
            devices.get(me).enter();
            memories.get(me).leave();
        }
    }

    /** Its kernel would read memory that goes. */
    @Test
    void whoLearnsOfALossMeanwhileLeavesNoKernelBehind() {
        connect();
        CudaDevice device = devices.get(0);
        device.enter();
        IllegalStateException loss = new IllegalStateException("rank 5 is gone");
        try (ExchangeKernels kernels = ExchangeKernels.load(device)) {
            assertThatThrownBy(() -> memories.get(0).tryOut(kernels, LONG, () -> {
                        throw loss;
                    }))
                    .isSameAs(loss);
            assertThat(device.synchronize(Duration.ZERO, () -> {})).isTrue();
        }
        leave();
    }

    /** As one that never sees the host's word: here it has not even begun, behind a kernel of the other device. */
    @Test
    void aKernelThatDoesNotEndIsToldAndKeepsItsMemory() {
        connect();
        CudaDevice device = devices.get(0);
        CudaDevice other = devices.get(1);
        device.enter();
        ExchangeKernels mine = ExchangeKernels.load(device); // before anything waits, which loading would wait for
        other.enter();
        Pinned word = Pinned.allocate(other, 2 * Long.BYTES);
        word.bytes().putLong(0, 0).putLong(Long.BYTES, 0);
        StandIn.require().hurtExchange(1, true);
        long memory = other.allocate(LIMIT);
        ExchangeKernels kernels = ExchangeKernels.load(other);
        ExchangeCall call = ExchangeTrial.of(1, 2, LIMIT).call();
        kernels.launch(other.stream(), memory, 1, 2, LIMIT, call, 1, false, word.address(), memory);
        CUevent end = other.event();
        other.record(end);
        device.enter();
        device.follow(end);
        try {
            assertThatThrownBy(() -> memories.get(0).tryOut(mine, Duration.ofMillis(50), () -> {}))
                    .isInstanceOfSatisfying(LockstepException.class, e -> {
                        assertThat(e.code()).isEqualTo(ErrorCode.DEVICE_LOST);
                        assertThat(e.summary()).contains("the kernel of rank 4", "did not end in 0.05 s");
                        assertThat(e.advice()).contains("spark.lockstep.gpu.peer=off");
                    });
            long held = StandIn.require().allocations();
            leave();
            assertThat(StandIn.require().allocations()).isEqualTo(held);
        } finally {
            word.bytes().putLong(0, 1);
            other.enter();
            other.synchronize();
            StandIn.require().hurtExchange(-1, false);
            kernels.close();
            word.close();
            mine.close();
            leave(); // the kernel has ended by now
            other.release(memory);
            other.destroy(end);
        }
    }
}
