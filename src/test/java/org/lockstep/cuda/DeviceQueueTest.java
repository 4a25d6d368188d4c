package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import jcuda.driver.CUevent;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ProcessGroup;

/** For how long the device is at what it was given, as who waits for it sees that. */
@HostCuda
@Timeout(60)
class DeviceQueueTest {
    private static final Duration LIMIT = Duration.ofMillis(50);

    /** Of a group that nothing may fail in. */
    private static final Carriers.Life LIFE = new Carriers.Life() {
        @Override
        public void begin(Object told, Duration limit) {}

        @Override
        public void requireAlive(Object operation) {}

        @Override
        public Optional<FirstCause> firstCause() {
            return Optional.empty();
        }

        @Override
        public CommunicatorException fail(OperationTag tag, Throwable failure, Optional<Duration> asking) {
            throw new AssertionError(failure);
        }
    };

    /** A pause of the garbage collector while it is looked at is no time of the device, which goes on. */
    @Test
    void whatIsCompleteWhenItIsLookedAtAgainIsNotLate() {
        OperationTag tag = new OperationTag(1, OperationTag.Operation.ALL_REDUCE, null, DataType.F32, 1, -1);
        AtomicInteger looks = new AtomicInteger();
        try (CudaDevice device = CudaDevice.open(StandIn.require().device());
                DeviceQueues queues = new DeviceQueues(device, LIMIT, false, () -> {})) {
            DeviceQueue queue = queues.open(ProcessGroup.of("tp", 0, 0, 1), LIFE);
            queue.add(new DeviceQueue.Medium() {
                @Override
                public void check(OperationTag of) {
                    long end = System.nanoTime() + 2 * LIMIT.toNanos();
                    await().pollInSameThread().until(() -> System.nanoTime() - end > 0);
                    Launches.check(JCudaDriver.cuStreamSynchronize(device.stream()));
                    looks.incrementAndGet();
                }

                @Override
                public Optional<String> advice(OperationTag of) {
                    return Optional.empty();
                }
            });
            CUevent event = device.event();
            queue.queue(List.of(tag), tag, () -> {
                for (int steps = 0; steps < 9; steps++) { // more than two looks move the stand-in on by
                    device.record(event);
                }
            });
            device.synchronize();
            assertThat(looks).hasValue(1);
            assertThat(queue.underWay()).isEmpty();
            device.destroy(event);
        }
    }

    /** How long a wait is for others is for the deadlines of what they have a part in to say; the device's own is not of that. */
    @Test
    void theDeadlineOfTheDeviceDoesNotRunBehindAnOperation() {
        StandIn driver = StandIn.require();
        OperationTag tag = new OperationTag(1, OperationTag.Operation.ALL_REDUCE, null, DataType.F32, 1, -1);
        Duration brief = Duration.ofMillis(1);
        try (CudaDevice device = CudaDevice.open(driver.device());
                KernelModule kernels = KernelModule.load(device, List.of("rows"));
                DeviceQueues queues = new DeviceQueues(device, Duration.ofMinutes(1), false, () -> {})) {
            device.limit(brief);
            DeviceQueue queue = queues.open(ProcessGroup.of("tp", 0, 0, 1), LIFE);
            long start = System.nanoTime();
            queue.add(new DeviceQueue.Medium() {
                @Override
                public void check(OperationTag of) {
                    if (System.nanoTime() - start > 50 * brief.toNanos()) {
                        device.limit(Duration.ofMinutes(1)); // of what comes behind it
                        driver.hold(false);
                    }
                }

                @Override
                public Optional<String> advice(OperationTag of) {
                    return Optional.empty();
                }
            });
            long memory = device.allocate(Float.BYTES);
            device.zero(memory, Float.BYTES);
            driver.hold(true);
            queue.queue(
                    List.of(tag),
                    tag,
                    () -> kernels.with().pointer(memory).pointer(memory).wide(1).launch("add", 1, 32));
            device.synchronize();
            assertThat(queue.underWay()).isEmpty();
            device.release(memory);
        } finally {
            driver.hold(false);
        }
    }

    /** The rank's own kernels are behind nobody: what its groups wait for is no reason to wait for them for ever. */
    @Test
    void theDeadlineOfTheDeviceRunsOutsideOfOperations() {
        StandIn driver = StandIn.require();
        driver.setDevices(2);
        CudaDevice device = CudaDevice.open(StandIn.devices().get(1));
        DeviceQueues queues = new DeviceQueues(device, Duration.ofMinutes(1), false, () -> {});
        try {
            queues.open(ProcessGroup.of("tp", 0, 0, 1), LIFE);
            KernelModule kernels = KernelModule.load(device, List.of("rows"));
            long memory = device.allocate(Float.BYTES);
            device.limit(LIMIT);
            driver.hold(true);
            kernels.with().pointer(memory).pointer(memory).wide(1).launch("add", 1, 32);
            assertThatThrownBy(device::synchronize)
                    .hasMessageContainingAll("DEVICE_LOST", "(add) does not come to its end in 0.05 s");
        } finally {
            CudaDeviceTest.letGoOfTheSecond();
            driver.hold(false);
            driver.setDevices(1);
        }
    }
}
