package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.LogLines;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.report.ProgressLines;
import org.lockstep.spark.report.ProgressListener;
import org.lockstep.topology.ParallelSizes;

/** What one reads of a run while it goes on: Spark's pages of jobs and stages, lines in a cell. */
@Timeout(180)
class RunOnPagesTest {
    private static final SamplingParams FOUR =
            SamplingParams.greedy().withMaxTokens(4).withIgnoreEos(true);

    private SparkSession session;
    private SparkContext spark;
    private final List<Properties> jobs = new CopyOnWriteArrayList<>();
    private final List<String> accumulators = new CopyOnWriteArrayList<>();

    @BeforeEach
    void start() {
        session = Sessions.local(2);
        spark = session.sparkContext();
        spark.addSparkListener(new SparkListener() {
            @Override
            public void onJobStart(SparkListenerJobStart job) {
                jobs.add(job.properties());
            }

            @Override
            public void onStageCompleted(SparkListenerStageCompleted end) {
                List<String> ours = new ArrayList<>();
                for (var all = end.stageInfo().accumulables().valuesIterator(); all.hasNext(); ) {
                    AccumulableInfo each = all.next();
                    if (each.name().isDefined() && each.name().get().startsWith("Lockstep: ")) {
                        ours.add(each.name().get() + ": " + each.value().get());
                    }
                }
                accumulators.addAll(ours); // at once, for who waits for the first
            }
        });
    }

    @AfterEach
    void stop() {
        session.stop();
    }

    private void generate(Llm llm) {
        llm.tensorParallel(2).generate(List.of("Once upon a time", "The fox"), FOUR);
    }

    private List<String> ofJobs(String property) {
        return jobs.stream().map(job -> job.getProperty(property)).distinct().toList();
    }

    @Test
    void jobsAreDescribedAndInAGroupAndAfterwardsAllIsAsItWas() {
        try (Llm llm = Llm.bundled(session)) {
            generate(llm);
        }
        await().atMost(Duration.ofSeconds(60)).until(() -> !accumulators.isEmpty());

        assertThat(ofJobs("spark.job.description"))
                .startsWith(
                        "Lockstep: read the rows to generate from",
                        "Lockstep: generate 2 rows, " + ParallelSizes.tensor(2).withData(1));
        assertThat(jobs.get(0).getProperty("spark.jobGroup.id")).startsWith("lockstep-");
        assertThat(jobs.get(0).getProperty("spark.job.interruptOnCancel")).isEqualTo("true");
        assertThat(Stream.of("spark.job.description", "spark.jobGroup.id", "spark.job.interruptOnCancel")
                        .map(spark::getLocalProperty))
                .containsOnlyNulls();
        assertThat(accumulators.stream().collect(Collectors.joining("\n")))
                .contains("Lockstep: rows done: 2", "Lockstep: output tokens: 8")
                .containsPattern("Lockstep: ranks: 2 ranks, \\d+\\.\\d to \\d+\\.\\d s each, \\d+ % in collectives");
    }

    @Test
    void theGroupOfACallerStays() {
        spark.setJobGroup("cell 7", "llm.generate(…)", false);
        try (Llm llm = Llm.bundled(session)) {
            generate(llm);
        }
        JavaSparkContext java = JavaSparkContext.fromSparkContext(spark);
        BarrierStage.over(java.parallelize(List.of(1, 2), 2))
                .with(ParallelSizes.tensor(2))
                .collectRanks((rank, mine) -> mine);
        java.parallelize(List.of(1, 2, 3), 3).count();

        String ranks = "Lockstep: 2 ranks, " + ParallelSizes.tensor(2).withData(1);
        await().atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(jobs)
                        .extracting(job -> job.getProperty("spark.job.description"))
                        .endsWith(ranks, "llm.generate(…)"));
        assertThat(ofJobs("spark.jobGroup.id")).containsExactly("cell 7");
        assertThat(ofJobs("spark.job.interruptOnCancel")).containsExactly("false");
    }

    @Test
    void aCellShowsHowItBeginsAndEndsHoweverShortItIs() {
        ByteArrayOutputStream cell = new ByteArrayOutputStream();
        try (Llm llm = Llm.bundled(session)) {
            generate(llm.onProgress(ProgressLines.to(new PrintStream(cell, true, StandardCharsets.UTF_8))));
        }
        assertThat(cell.toString(StandardCharsets.UTF_8))
                .startsWith("starting 1 replica for 2 rows\n")
                .containsPattern("2 of 2 rows, 8 tokens, \\d+ tokens/s\n$")
                .doesNotContain("\r");
    }

    @Test
    void aConsumerOfProgressThatFailsHarmsNoRun() {
        try (Llm llm = Llm.bundled(session);
                LogLines log = new LogLines(ProgressListener.class)) {
            generate(llm.onProgress(progress -> {
                throw new IllegalStateException("the screen is gone");
            }));
            assertThat(log.said()).anyMatch(line -> line.contains("the screen is gone"));
        }
    }
}
