package org.lockstep.spark.gang;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.rendezvous.Venue;
import org.lockstep.spark.Sessions;

@Timeout(value = 2, unit = TimeUnit.MINUTES)
class BarrierRendezvousTest {
    @Test
    @FaultCase("F48")
    void outsideABarrierStageThereIsNoMeeting() throws IOException {
        assertThatThrownBy(() -> BarrierRendezvous.ofCurrentTask(Venue::new, Duration.ofSeconds(1)))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.NOT_IN_BARRIER_STAGE))
                .hasMessageContaining("no Spark task");
        try (SparkSession spark = Sessions.local(1)) {
            assertThatThrownBy(() -> JavaSparkContext.fromSparkContext(spark.sparkContext())
                            .parallelize(List.of(0), 1)
                            .map(i -> BarrierRendezvous.ofCurrentTask(Venue::new, Duration.ofSeconds(1))
                                    .index())
                            .collect())
                    .hasMessageContaining("no barrier stage");
        }
    }
}
