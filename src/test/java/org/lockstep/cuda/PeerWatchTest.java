package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import jcuda.driver.CUevent;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ProcessGroup;

/** Whose device it is, of ranks of one JVM, that does not come to the end of what it was given. */
@HostCuda
@Timeout(60)
class PeerWatchTest {
    private static final Duration LIMIT = Duration.ofMillis(50);
    private static final ProcessGroup GROUP = ProcessGroup.of("tp", 0, 0, 1);
    private static final OperationTag TAG =
            new OperationTag(1, OperationTag.Operation.ALL_REDUCE, null, DataType.F32, 1, -1);

    /** Of a group that has died where there is a first cause. */
    private record Life(Optional<FirstCause> firstCause) implements Carriers.Life {
        @Override
        public void begin(Object told, Duration limit) {}

        @Override
        public void requireAlive(Object operation) {
            if (firstCause.isPresent()) {
                throw new IllegalStateException("dead in " + operation);
            }
        }

        @Override
        public CommunicatorException fail(OperationTag tag, Throwable failure, Optional<Duration> asking) {
            throw new AssertionError(failure);
        }
    }

    private final StandIn driver = StandIn.require();

    /** Two devices, of which the second's kernels are held, and the stream of one follows that of the other, so often before too. */
    private void following(int behind, int over, Life life, BiConsumer<CudaDevice, CudaDevice> then) {
        driver.setDevices(2);
        CudaDevice first = CudaDevice.open(StandIn.devices().get(0));
        CudaDevice second = CudaDevice.open(StandIn.devices().get(1));
        CudaDevice follower = behind == 0 ? first : second;
        CudaDevice followed = behind == 0 ? second : first;
        try {
            second.enter();
            KernelModule kernels = KernelModule.load(second, List.of("rows"));
            long memory = second.allocate(Float.BYTES);
            second.zero(memory, Float.BYTES);
            second.synchronize();
            followed.enter();
            CUevent point = followed.event();
            follower.enter();
            PeerWatch watch = new PeerWatch(follower, LIMIT);
            follower.limit(LIMIT);
            for (int wait = 0; wait < over; wait++) {
                follow(followed, point, follower, watch, life);
            }
            second.enter();
            driver.hold(true);
            kernels.with().pointer(memory).pointer(memory).wide(1).launch("add", 1, 32);
            follow(followed, point, follower, watch, life);
            then.accept(follower, followed);
            driver.hold(false);
            if (!follower.isGivenUp()) {
                follower.finish(); // and asks nobody
                watch.close();
                followed.enter();
                followed.destroy(point);
                second.enter();
                second.synchronize();
                second.release(memory);
                kernels.close();
            }
        } finally {
            if (second.isGivenUp()) {
                CudaDeviceTest.letGoOfTheSecond();
            }
            driver.hold(false);
            Release.all(List.of(first::close, second::close));
            driver.setDevices(1);
        }
    }

    private static void follow(CudaDevice followed, CUevent point, CudaDevice follower, PeerWatch watch, Life life) {
        followed.enter();
        followed.record(point);
        follower.enter();
        CUevent before = watch.mark();
        follower.follow(point);
        watch.followed(before, TAG, GROUP, life);
    }

    @Test
    void whoWaitsForAPeersDeviceDoesNotGiveUpItsOwn() {
        following(0, 0, new Life(Optional.empty()), (follower, followed) -> {
            assertThatThrownBy(follower::synchronize)
                    .hasMessageContainingAll(
                            "COLLECTIVE_TIMEOUT", TAG + " in " + GROUP + " not complete on " + follower + " in 0.1 s");
            assertThat(follower.isGivenUp()).isFalse();
        });
    }

    @Test
    void whoWaitsForAPeersDeviceHearsThatTheGroupIsDead() {
        Life dead = new Life(Optional.of(new FirstCause(ErrorCode.DEVICE_LOST, 1, 1, "rank 1's")));
        following(
                0,
                0,
                dead,
                (follower, followed) ->
                        assertThatThrownBy(follower::synchronize).hasMessage("dead in " + TAG));
    }

    /** As in a step of several operations, of which the first went well. */
    @Test
    void whatTheDeviceIsAtBetweenTwoWaitsIsItsOwn() {
        following(
                1,
                1,
                new Life(Optional.empty()),
                (follower, followed) ->
                        assertThatThrownBy(follower::synchronize).hasMessageContaining("DEVICE_LOST"));
    }

    @Test
    void whatTheDeviceIsAtBeforeItWaitsForAPeerIsItsOwn() {
        following(
                1,
                0,
                new Life(Optional.empty()),
                (follower, followed) -> assertThatThrownBy(follower::synchronize)
                        .hasMessageContainingAll("DEVICE_LOST", "(2 kernels, from add to a wait for another device)"));
    }
}
