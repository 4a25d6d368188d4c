package org.lockstep.spark.gang;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.Left;
import org.lockstep.LockstepException;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.Generation;
import org.lockstep.spark.Llm;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.settings.Settings;

/** What stays between two runs of an Llm, and when it ends. */
@Timeout(180)
class ResidenceTest {
    private static final List<String> PROMPTS =
            List.of("Once upon a time", "One rainy morning,", "Long ago", "The fox");
    private static final SamplingParams PARAMS = SamplingParams.greedy().withMaxTokens(12);

    private SparkSession spark;

    /** Ranks of one JVM that must hold descriptors and mappings, and so have something to leave behind. */
    private void start(String idle) {
        spark = Sessions.with(Map.of(
                "spark.master",
                "local[4]",
                Settings.TRANSPORTS.key(),
                "shared,tcp",
                Settings.RESIDENT_IDLE.key(),
                idle));
    }

    @AfterEach
    void stop() {
        spark.stop();
    }

    private Generation run(Llm llm, List<String> prompts, int partitions) {
        Dataset<Row> rows =
                spark.createDataset(prompts, Encoders.STRING()).toDF("prompt").repartition(partitions);
        return llm.run(rows.sort("prompt"), "prompt", PARAMS);
    }

    private Generation run(Llm llm) {
        return run(llm, PROMPTS, 2);
    }

    private static List<String> texts(Generation run) {
        return run.rows().select("text").as(Encoders.STRING()).collectAsList();
    }

    /** Until ranks wait in so many places, of which each has a thread. */
    private static void awaitPlaces(int number) {
        await().atMost(Duration.ofSeconds(60))
                .until(() -> Thread.getAllStackTraces().keySet().stream()
                                .filter(thread -> thread.getName().equals("lockstep-residents"))
                                .count()
                        == number);
    }

    private static Llm quartered(SparkSession spark) {
        return Llm.bundled(spark).tensorParallel(2).pipelineParallel(2);
    }

    @Test
    void theSecondRunNeitherConnectsNorLoads() throws Exception {
        start("10m");
        try (Llm warm = quartered(spark)) { // what is made once and for all
            run(warm);
        }
        awaitPlaces(0);
        Left before = Left.now();
        Llm llm = quartered(spark);

        Generation first = run(llm);
        Generation second = run(llm);
        Generation others = run(llm.onProgress(done -> {}), List.of("Long ago", "The fox", "Once upon a time"), 3);

        assertThat(first.report().stayed()).isFalse();
        assertThat(first.report().ranks()).allMatch(rank -> rank.loadNanos() > 0);
        for (Generation later : List.of(second, others)) {
            assertThat(later.report().stayed()).isTrue();
            assertThat(later.report().ranks()).hasSize(4).allMatch(rank -> rank.loadNanos() == 0);
            assertThat(later.report().toString()).contains("stayed loaded");
        }
        List<String> texts = texts(first);
        assertThat(texts(second)).isEqualTo(texts);
        assertThat(texts(others)).isEqualTo(List.of(texts.get(0), texts.get(1), texts.get(3)));

        llm.close();
        llm.close();
        await().atMost(Duration.ofSeconds(60)).untilAsserted(() -> Left.now().requireNoMoreThan(before));
        assertThat(texts(second)).as("results outlive what made them").isEqualTo(texts);
        Generation again = run(llm);
        assertThat(again.report().stayed()).isFalse();
        assertThat(texts(again)).isEqualTo(texts);
    }

    @Test
    void anotherLayoutOrModelEndsIt() {
        start("10m");
        Llm llm = quartered(spark);
        List<String> texts = texts(run(llm));
        assertThat(run(llm.maxModelLength(64)).report().stayed()).as("limits").isFalse();
        assertThat(run(llm.maxModelLength(64)).report().stayed()).isTrue();
        assertThat(run(llm).report().stayed()).as("limits again").isFalse();
        Generation halves = run(llm.pipelineParallel(1).dataParallel(1));
        assertThat(halves.report().stayed()).as("sizes").isFalse();
        assertThat(texts(halves)).isEqualTo(texts);
        Generation alone = run(llm.tensorParallel(1).pipelineParallel(1).dataParallel(1));
        assertThat(alone.report().stayed()).isFalse();
        assertThat(run(llm.tensorParallel(1).pipelineParallel(1).dataParallel(1))
                        .report()
                        .stayed())
                .as("one rank, without any connection")
                .isTrue();

        Llm other = quartered(spark);
        assertThat(run(other).report().stayed()).isFalse();
        assertThat(run(other).report().stayed()).isTrue();
        awaitPlaces(1); // its own: Spark tells of a job some moments late
        Generation back = run(llm.tensorParallel(1).pipelineParallel(1).dataParallel(1));
        assertThat(back.report().stayed()).as("the other model's run ended it").isFalse();
        assertThat(texts(back)).isEqualTo(texts);
    }

    @Test
    void endsWhenItIdles() throws Exception {
        start("300ms");
        run(quartered(spark)).report();
        awaitPlaces(0);
        Left before = Left.now();
        Llm llm = quartered(spark);
        List<String> texts = texts(run(llm));
        await().atMost(Duration.ofSeconds(60)).untilAsserted(() -> Left.now().requireNoMoreThan(before));
        assertThat(texts(run(llm))).isEqualTo(texts);
    }

    @Test
    void zeroSwitchesItOff() {
        start("0s");
        Llm llm = quartered(spark);
        List<String> texts = texts(run(llm));
        Generation second = run(llm);
        assertThat(second.report().stayed()).isFalse();
        assertThat(texts(second)).isEqualTo(texts);
    }

    @Test
    void aRunThatFailsEndsIt() {
        start("10m");
        Llm llm = quartered(spark);
        List<String> texts = texts(run(llm));
        SparkListener cancel = new SparkListener() {
            @Override
            public void onStageSubmitted(SparkListenerStageSubmitted stage) {
                if (stage.stageInfo().name().contains("Launch")) {
                    spark.sparkContext().cancelAllJobs(); // in the meeting, or after it
                }
            }
        };
        spark.sparkContext().addSparkListener(cancel);
        List<String> many =
                Collections.nCopies(1000, "Once upon a time"); // for minutes, however late Spark tells of the stage
        Dataset<Row> rows = spark.createDataset(many, Encoders.STRING()).toDF("prompt");
        SamplingParams longer = PARAMS.withMaxTokens(400).withIgnoreEos(true);
        assertThatThrownBy(() -> llm.run(rows, "prompt", longer)).isInstanceOf(LockstepException.class);
        spark.sparkContext().removeSparkListener(cancel);

        Generation next = run(llm);
        assertThat(next.report().stayed()).isFalse();
        assertThat(texts(next)).isEqualTo(texts);
        assertThat(run(llm).report().stayed()).isTrue();
    }

    @Test
    void theSecondOfTwoAtOnceLoadsForItself() throws Exception {
        start("10m");
        Llm llm = Llm.bundled(spark).tensorParallel(2).dataParallel(1); // two of them fit
        List<String> texts = texts(run(llm));
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch over = new CountDownLatch(1);
        Llm held = llm.onProgress(
                progress -> { // first called by the run itself, which has what stays
                    begun.countDown();
                    try {
                        over.await();
                    } catch (InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                });
        CompletableFuture<Generation> one = CompletableFuture.supplyAsync(() -> run(held));
        begun.await();
        Generation other;
        try {
            other = run(llm);
        } finally {
            over.countDown();
        }
        assertThat(other.report().stayed()).isFalse();
        assertThat(one.get().report().stayed()).isTrue();
        assertThat(texts(other)).isEqualTo(texts);
        assertThat(texts(one.get())).isEqualTo(texts);
        assertThat(run(llm).report().stayed()).isTrue();
    }

    @Test
    void anLlmThatNobodyHoldsIsCleanedUp() throws Exception {
        start("10m");
        runAndForget();
        await().atMost(Duration.ofSeconds(60)).until(() -> {
            System.gc(); // Spark cleans up after the garbage collector
            return Thread.getAllStackTraces().keySet().stream()
                    .noneMatch(thread -> thread.getName().equals("lockstep-residents"));
        });
    }

    private void runAndForget() {
        List<String> texts = new ArrayList<>(texts(run(quartered(spark))));
        assertThat(texts).hasSize(4);
        assertThat(Thread.getAllStackTraces().keySet())
                .anyMatch(thread -> thread.getName().equals("lockstep-residents"));
    }
}
