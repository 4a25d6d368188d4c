package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
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
}
