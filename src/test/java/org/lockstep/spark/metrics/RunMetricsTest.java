package org.lockstep.spark.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import com.codahale.metrics.MetricRegistry;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.report.RunCounters;

/** What Spark says twice is counted once. */
@Timeout(120)
class RunMetricsTest {
    @Test
    void aStageIsCountedOnceHoweverOftenItEnds() throws Exception {
        BlockingQueue<SparkListenerStageCompleted> ends = new LinkedBlockingQueue<>();
        try (SparkSession session = Sessions.local(2)) {
            session.sparkContext().addSparkListener(new SparkListener() {
                @Override
                public void onStageCompleted(SparkListenerStageCompleted end) {
                    ends.add(end);
                }
            });
            RunCounters counters = RunCounters.register(session.sparkContext());
            var rows = JavaSparkContext.fromSparkContext(session.sparkContext()).parallelize(List.of(1, 2, 3), 2);
            for (int run = 0; run < 2; run++) {
                rows.foreach(row -> counters.outputTokens().add(row));
            }
            rows.foreach(row -> {}); // nothing of ours

            MetricRegistry registry = new MetricRegistry();
            RunMetrics metrics = new RunMetrics(registry);
            List<Long> sums = new ArrayList<>();
            for (int stage = 0; stage < 3; stage++) {
                SparkListenerStageCompleted end = ends.poll(60, TimeUnit.SECONDS);
                metrics.onStageCompleted(end);
                metrics.onStageCompleted(end);
                sums.add(registry.counter("outputTokens").getCount());
            }
            assertThat(sums).containsExactly(6L, 18L, 18L); // Spark's accumulators go on from stage to stage
        }
    }
}
