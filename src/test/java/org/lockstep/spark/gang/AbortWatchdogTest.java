package org.lockstep.spark.gang;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.esotericsoftware.kryo.kryo5.Kryo;
import com.esotericsoftware.kryo.kryo5.KryoSerializable;
import com.esotericsoftware.kryo.kryo5.io.Input;
import com.esotericsoftware.kryo.kryo5.io.Output;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.spark.BarrierStage;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.settings.Settings;
import org.lockstep.topology.ParallelSizes;

/** Ranks that are in an operation past its deadline, in code that looks at no clock. */
@Timeout(120)
class AbortWatchdogTest {
    private SparkSession session;

    @BeforeEach
    void start() {
        session = Sessions.local(2);
        session.sparkContext().conf().set(Settings.COLLECTIVE_TIMEOUT.key(), "4s");
    }

    @AfterEach
    void stop() {
        session.stop();
    }

    private static void assertNothingRuns() {
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .until(() -> Thread.getAllStackTraces().keySet().stream()
                        .noneMatch(thread -> thread.getName().startsWith("lockstep-")));
    }

    /** An object that a rank never ends writing, unless it is interrupted. */
    public static final class Endless implements KryoSerializable {
        @Override
        public void write(Kryo kryo, Output output) {
            try {
                new CountDownLatch(1).await();
            } catch (InterruptedException end) {
                throw new IllegalStateException("its writer was interrupted", end);
            }
        }

        @Override
        public void read(Kryo kryo, Input input) {
            throw new AssertionError("it was never written");
        }
    }

    private static void startTogether(Rank rank) {
        rank.communicators().tensor().within(Duration.ofMinutes(1)).barrier();
    }

    /** All ranks are in it, so none is left to miss another: without the watchdog this would last for ever. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void ranksThatNeverComeToWaitForEachOtherAreEnded(int world) {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        LockstepException told = catchThrowableOfType(
                LockstepException.class,
                () -> BarrierStage.over(spark.parallelize(List.of(0, 1), world))
                        .with(ParallelSizes.tensor(world))
                        .registering(Endless.class)
                        .collectRanks((rank, mine) -> {
                            startTogether(rank);
                            rank.communicators().tensor().allGatherObject(new Endless(), Endless.class);
                            return mine;
                        }));
        assertThat(told.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
        assertThat(told)
                .hasMessageContainingAll(
                        "all_gather_object #2 in tp[",
                        "not complete in 4.0 s: rank ",
                        "waits for no peer, but in code of its own",
                        "culprit : rank ",
                        "raise spark.lockstep.collective.timeout");
        assertThat(Stream.iterate((Throwable) told, each -> each != null, Throwable::getCause))
                .as("says where the thread was")
                .anySatisfy(cause -> assertThat(cause.getStackTrace())
                        .anyMatch(frame -> frame.getClassName().equals(Endless.class.getName())));
        assertNothingRuns();
    }

    /** A rank that waits for a slow peer is one that looks at its deadline: it says whom it waits for. */
    @Test
    void aWaitForAPeerEndsItselfAndNamesThePeer() {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        LockstepException told = catchThrowableOfType(
                LockstepException.class,
                () -> BarrierStage.over(spark.parallelize(List.of(0, 1), 2))
                        .with(ParallelSizes.tensor(2))
                        .registering(Endless.class)
                        .collectRanks((rank, mine) -> {
                            startTogether(rank);
                            if (rank.state().rank() == 1) { // it has longer: whoever is late, the wait is over first
                                rank.communicators()
                                        .tensor()
                                        .within(Duration.ofMinutes(1))
                                        .allGatherObject(new Endless(), Endless.class);
                            }
                            rank.communicators().tensor().allGatherObject("short", String.class);
                            return mine;
                        }));
        assertThat(told.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
        assertThat(told).hasMessageContainingAll("rank 1 did not come", "culprit : rank 1");
        assertNothingRuns();
    }
}
