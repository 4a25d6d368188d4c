package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.LockstepException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.spark.failure.GangWatchTest;
import org.lockstep.spark.gang.RankFunction;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ParallelSizes;

/** What the driver says when an executor is lost under its ranks: two executors of two slots, real JVMs. */
@Timeout(300)
class GangClusterIT {
    private static SparkSession session;

    @BeforeEach
    void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        if (session != null) {
            return; // one cluster for all tests
        }
        session = Sessions.twoExecutors(Map.of());
    }

    @AfterAll
    static void stop() {
        if (session != null) {
            session.stop();
        }
    }

    /** Ranks of both executors that reduce without end; {@code fault} is called by rank 3 in its third round. */
    private static LockstepException failureOf(RankFunction<Integer, Integer> fault) {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        Awaitility.await()
                .atMost(Duration.ofSeconds(120))
                .until(() -> ClusterPreflight.slots(session.sparkContext()) >= 4); // the cluster replaces who is lost
        long start = System.nanoTime();
        LockstepException told = catchThrowableOfType(
                LockstepException.class,
                () -> BarrierStage.over(
                                spark.parallelize(IntStream.range(0, 4).boxed().toList(), 4))
                        .with(ParallelSizes.tensor(4))
                        .collectRanks((rank, mine) -> {
                            for (int round = 1; ; round++) {
                                rank.communicators().tensor().allReduce(Buffer.ofFloats(1, 2), ReduceOp.SUM);
                                if (rank.state().rank() == 3 && round == 3) {
                                    fault.apply(rank, mine);
                                }
                            }
                        }));
        System.out.println(
                "told after " + Duration.ofNanos(System.nanoTime() - start).toMillis() + " ms:\n" + told.getMessage());
        assertThat(told.getMessage()).matches(GangWatchTest.CONTRACT);
        return told;
    }

    @ParameterizedTest
    @CsvSource({"KILL, 137", "TERM, 143"})
    @FaultCase({"F04", "F06"})
    void anExecutorThatIsKilledIsTheCulprit(String signal, int exitCode) {
        LockstepException told = failureOf((rank, mine) -> {
            new ProcessBuilder(
                            "kill",
                            "-" + signal,
                            Long.toString(ProcessHandle.current().pid()))
                    .start()
                    .waitFor();
            Thread.sleep(60_000); // the signal comes first
            return mine;
        });
        assertThat(told.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(told)
                .hasMessageContainingAll(
                        "is gone",
                        "culprit : rank ",
                        "  executor ",
                        "verdict : lost peer: ranks 2,3 are gone",
                        "culprit : rank 3 ",
                        "exited with code " + exitCode);
    }

    @Test
    @FaultCase("F01")
    void aFailureBeforeTheMeetingNamesItsExecutor() {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        Awaitility.await()
                .atMost(Duration.ofSeconds(120))
                .until(() -> ClusterPreflight.slots(session.sparkContext()) >= 4);
        long start = System.nanoTime();
        LockstepException told = catchThrowableOfType(
                LockstepException.class,
                () -> BarrierStage.over(spark.parallelize(List.of(0, 1, 2, 3), 4))
                        .with(ParallelSizes.tensor(4))
                        .on(address -> {
                            throw new IllegalStateException("planned: no device");
                        })
                        .collectRanks((rank, mine) -> mine));
        FaultLog.released("F01", Duration.ofNanos(System.nanoTime() - start));
        assertThat(told)
                .hasMessageMatching(GangWatchTest.CONTRACT.pattern())
                .hasMessageContainingAll("planned: no device", "culprit : host ", "  executor ", "  task ");
    }
}
