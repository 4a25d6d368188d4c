package org.lockstep.spark.attempt;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.spark.BarrierStage;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.topology.ParallelSizes;

/** An executor that lives, and is to blame again and again, is replaced by another one. */
@Timeout(300)
class ExecutorsIT {
    private static List<String> names(JavaSparkContext spark) {
        return spark.parallelize(IntStream.range(0, 16).boxed().toList(), 16)
                .map(any -> SparkEnv.get().executorId())
                .distinct()
                .collect();
    }

    @Test
    @FaultCase({"F04", "F19"})
    void theOneThatIsToBlameForTheSecondTimeIsReplaced() throws Exception {
        Sessions.assumeThatExecutorsStart();
        SparkSession session = Sessions.executors(2, 1, Map.of("spark.lockstep.slots.wait", "120s"));
        try (GangWatch watch = GangWatch.begin(session.sparkContext())) {
            JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
            Executors executors = new Executors(session.sparkContext());
            assertThat(BarrierStage.over(spark.parallelize(List.of(1, 2), 2))
                            .with(ParallelSizes.tensor(2))
                            .watchedBy(watch)
                            .mapRanks((rank, mine) -> mine)
                            .collect())
                    .hasSize(2);
            executors.count();
            Awaitility.await().atMost(Duration.ofSeconds(60)).until(() -> watch.isHeard("0"));
            executors.recover("0", false, watch);
            assertThat(names(spark)).as("once is a connection that broke").contains("0");
            executors.recover("0", false, watch);
            assertThat(watch.awaitRemoval("0", Duration.ZERO)).isTrue();
            Awaitility.await()
                    .atMost(Duration.ofSeconds(120))
                    .until(() -> ClusterPreflight.executors(session.sparkContext()) == 2);
            Awaitility.await()
                    .atMost(Duration.ofSeconds(60))
                    .untilAsserted(() -> assertThat(names(spark))
                            .hasSize(2)
                            .doesNotContain("0")
                            .contains("1"));
            LockstepException lost = LockstepException.report(ErrorCode.DEVICE_LOST, "rank 1 failed")
                    .exception();
            assertThat(AttemptFailure.of(session.sparkContext(), lost, watch, Optional.empty())
                            .retryable())
                    .as("in another process")
                    .isTrue();
            executors.recover("1", true, watch);
            assertThat(watch.awaitRemoval("1", Duration.ofMinutes(1)))
                    .as("one whose device is lost")
                    .isTrue();
        } finally {
            session.stop();
        }
    }
}
