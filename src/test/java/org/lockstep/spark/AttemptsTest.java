package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.LockstepException;
import org.lockstep.cpu.ConnectsBy;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.attempt.UnfinishedRunException;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.failure.GangWatch;

/** Attempts, what they keep, and how a run ends, with the bundled model in one JVM. */
@Timeout(180)
class AttemptsTest {
    private static final int ROWS = 40;
    private static final SamplingParams SAMPLED = SamplingParams.DEFAULT
            .withTemperature(0.8)
            .withSeed(11L)
            .withMaxTokens(24)
            .withIgnoreEos(true);

    private SparkSession spark;

    @TempDir
    private Path folder;

    @BeforeEach
    void start() {
        spark = Sessions.local(4);
    }

    @AfterEach
    void stop() {
        spark.stop();
    }

    private Dataset<Row> rows() {
        List<String> prompts = IntStream.range(0, ROWS)
                .mapToObj(i -> "Once upon a time, " + i + " crows")
                .toList();
        return spark.createDataset(prompts, Encoders.STRING()).toDF("prompt");
    }

    private Llm llm() {
        return Llm.bundled(spark)
                .tensorParallel(2)
                .dataParallel(2)
                .checkpointDir(folder.resolve("run").toString());
    }

    /** One that has a few of its rows when it stands still, and of the others each replica takes one after the other. */
    private Llm held() {
        return llm().maxSequences(1).backend(new HeldRanks(folder.resolve("run").toString(), 320, 2));
    }

    private void letGo() throws IOException {
        HeldRanks.letGo(folder.resolve("run").toString());
    }

    private List<Row> undisturbed(SamplingParams params) {
        try (Llm llm = Llm.bundled(spark).dataParallel(1)) {
            return llm.generate(rows(), "prompt", params).collectAsList();
        }
    }

    /** Rows are done and the run is not: its writers commit. */
    private void awaitCommits() {
        Awaitility.await().atMost(Duration.ofSeconds(60)).until(() -> {
            if (!Files.isDirectory(folder.resolve("run"))) {
                return false;
            }
            try (Stream<Path> files = Files.list(folder.resolve("run"))) {
                return files.anyMatch(file -> file.getFileName().toString().startsWith("segment-"));
            }
        });
    }

    /** That the tasks are left, timed from what ended them. */
    private static void assertNothingRuns(String faultCase, long since) {
        Awaitility.await()
                .pollInterval(Duration.ofMillis(10))
                .atMost(Duration.ofSeconds(20))
                .until(() -> Thread.getAllStackTraces().keySet().stream()
                        .map(Thread::getName)
                        .noneMatch(
                                name -> name.startsWith("lockstep-watchdog") || name.startsWith("lockstep-commit-")));
        FaultLog.released(faultCase, Duration.ofNanos(System.nanoTime() - since));
    }

    /** Cut off by a cancel, then gone on with. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @FaultCase({"F14", "F72"})
    void aCancelledRunKeepsItsRowsAndGoesOnToTheSameTexts(boolean interrupt) throws Exception {
        SamplingParams params = SAMPLED.withMaxTokens(300).withSeed(interrupt ? null : 11L);
        CompletableFuture<List<Row>> run = CompletableFuture.supplyAsync(() -> {
            spark.sparkContext().setJobGroup("doomed", "a test", interrupt);
            try (Llm llm = held()) {
                return llm.generate(rows(), "prompt", params).collectAsList();
            } finally {
                spark.sparkContext().clearJobGroup();
            }
        });
        awaitCommits();
        long start = System.nanoTime();
        spark.sparkContext().cancelJobGroup("doomed");
        letGo();
        assertNothingRuns("F14", start);
        LockstepException ended = failure(run);
        assertThat(ended).isInstanceOf(UnfinishedRunException.class);
        assertThat(ended.code()).isEqualTo(ErrorCode.CANCELLED);
        UnfinishedRunException unfinished = (UnfinishedRunException) ended;
        assertThat(unfinished.committed()).isBetween(1L, ROWS - 1L);
        assertThat(ended)
                .hasMessageContainingAll("cancelled", unfinished.committed() + " of 40 rows", "--resume")
                .hasMessageNotContaining("attempt :");

        try (Llm llm = llm()) {
            Generation resumed = llm.resume(true).run(rows(), "prompt", params);
            assertThat(resumed.report().rowsKept())
                    .as("with what came on a slow disk after they were counted")
                    .isBetween(unfinished.committed(), ROWS - 1L);
            assertThat(resumed.report().drawnSeed().isPresent()).isEqualTo(interrupt);
            SamplingParams same = params.withSeed(resumed.report().drawnSeed().orElse(11));
            assertThat(resumed.rows().collectAsList()).isEqualTo(undisturbed(same));
            Generation again = llm.resume(true).run(rows(), "prompt", params);
            assertThat(again.report().rowsKept()).isEqualTo(ROWS);
            assertThat(again.report().ranks())
                    .as("nobody loads a model for nothing")
                    .isEmpty();
            assertThat(again.rows().collectAsList()).isEqualTo(resumed.rows().collectAsList());
            again.discard();
        }
        assertThat(folder.resolve("run")).doesNotExist();
    }

    private static LockstepException failure(CompletableFuture<?> run) {
        ExecutionException thrown =
                catchThrowableOfType(ExecutionException.class, () -> run.get(120, TimeUnit.SECONDS));
        assertThat(thrown.getCause()).isInstanceOf(LockstepException.class);
        return (LockstepException) thrown.getCause();
    }

    @Test
    @FaultCase("F15")
    void aStoppedApplicationIsCancelledNotTriedAgain() throws Exception {
        CompletableFuture<List<Row>> run = CompletableFuture.supplyAsync(() ->
                held().generate(rows(), "prompt", SAMPLED.withMaxTokens(300)).collectAsList());
        awaitCommits();
        long start = System.nanoTime();
        spark.stop();
        letGo();
        assertNothingRuns("F15", start);
        LockstepException ended = failure(run);
        assertThat(ended.code()).isEqualTo(ErrorCode.CANCELLED);
        assertThat(ended).hasMessageContainingAll("of 40 rows", "--resume");
    }

    @Test
    @FaultCase("F14")
    void aThreadThatIsInterruptedCancelsItsRun() throws Exception {
        CompletableFuture<Throwable> ended = new CompletableFuture<>();
        Thread caller = new Thread(() -> {
            try {
                held().generate(rows(), "prompt", SAMPLED.withMaxTokens(300));
                ended.complete(new AssertionError("it ended well"));
            } catch (RuntimeException e) {
                ended.complete(Thread.currentThread().isInterrupted() ? e : new AssertionError("the flag is gone", e));
            }
        });
        caller.start();
        awaitCommits();
        long start = System.nanoTime();
        caller.interrupt();
        letGo();
        assertNothingRuns("F14", start);
        assertThat(ended.get(60, TimeUnit.SECONDS))
                .isInstanceOfSatisfying(
                        UnfinishedRunException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.CANCELLED));
    }

    @Test
    @FaultCase("F72")
    void aRunThatDiffersIsRefusedNamingWhatDiffers() {
        try (Llm llm = llm()) {
            llm.run(rows().limit(3), "prompt", SAMPLED);
            LockstepException refused = catchThrowableOfType(
                    LockstepException.class,
                    () -> llm.resume(true).run(rows().limit(3), "prompt", SAMPLED.withSeed(12L)));
            assertThat(refused.code()).isEqualTo(ErrorCode.COMMIT_DIFFERS);
            assertThat(refused).hasMessageContainingAll("differs in sampling", "seed=11", "seed=12");
            assertThat(catchThrowableOfType(
                                    LockstepException.class,
                                    () -> llm.resume(true).run(rows().limit(4), "prompt", SAMPLED))
                            .code())
                    .isEqualTo(ErrorCode.COMMIT_DIFFERS);
        }
    }

    @Test
    @FaultCase({"F69", "F56"})
    void aRowThatCannotBeAnsweredHasItsErrorOrEndsTheRun() {
        List<String> texts = new ArrayList<>(Collections.nCopies(6, "Once upon a time"));
        texts.set(4, "");
        Dataset<Row> rows = spark.createDataset(texts, Encoders.STRING()).toDF("prompt");
        try (Llm llm = llm()) {
            LockstepException failed = catchThrowableOfType(
                    LockstepException.class, () -> llm.failOnRowError(true).run(rows, "prompt", SAMPLED));
            assertThat(failed.code()).isEqualTo(ErrorCode.ROW_FAILED);
            assertThat(failed)
                    .hasMessageContainingAll("row 5: ", "PROMPT_EMPTY", "--on-row-error keep")
                    .hasMessageNotContaining("attempt :");
            Generation kept = llm.resume(true).run(rows, "prompt", SAMPLED);
            assertThat(kept.report().rowsFailed()).isEqualTo(1);
            assertThat(kept.rows().collectAsList().get(4).<String>getAs("error"))
                    .contains("PROMPT_EMPTY");
        }
    }

    @Test
    void aDirectoryOfTheRunAloneIsGoneAfterIt() throws Exception {
        String application = spark.sparkContext().applicationId();
        try (Llm llm = Llm.bundled(spark).dataParallel(1)) {
            llm.generate(rows().limit(3), "prompt", SAMPLED).collectAsList();
        }
        try (Stream<Path> left = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            assertThat(left.filter(file -> file.getFileName().toString().contains(application)))
                    .isEmpty();
        }
    }

    /** Ranks that have no time to meet: what another attempt may mend, and here never does. */
    @Test
    @FaultCase("F19")
    void theLastErrorListsEveryAttempt() {
        spark.stop();
        spark = Sessions.with(Map.of("spark.master", "local[4]", "spark.lockstep.meeting.timeout", "1ms"));
        LockstepException ended = catchThrowableOfType(
                LockstepException.class, () -> llm().attempts(2).run(rows(), "prompt", SAMPLED));
        assertThat(ended.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
        assertThat(ended)
                .hasMessageContainingAll(
                        "attempt : 1: LOCKSTEP-3001 RENDEZVOUS_TIMEOUT",
                        "attempt : 2: LOCKSTEP-3001 RENDEZVOUS_TIMEOUT",
                        "0 of 40 rows")
                .hasMessageNotContaining("attempt : 3");
    }

    /** A notebook goes on beside its run: what it sets in its session is the next one's. */
    @Test
    void aKeyThatTheSessionGetsMeanwhileEndsNoRun() {
        spark.stop();
        spark = Sessions.with(Map.of("spark.master", "local[4]", "spark.lockstep.meeting.timeout", "1ms"));
        Llm llm = llm().attempts(2);
        LockstepException ended = catchThrowableOfType(
                LockstepException.class,
                () -> llm.onProgress(begun -> spark.conf().set("spark.lockstep.attempts", "5"))
                        .run(rows(), "prompt", SAMPLED));
        assertThat(ended)
                .hasMessageContainingAll(
                        "attempt : 1: LOCKSTEP-3001 RENDEZVOUS_TIMEOUT",
                        "attempt : 2: LOCKSTEP-3001 RENDEZVOUS_TIMEOUT");
        assertThat(catchThrowableOfType(LockstepException.class, llm::plan).code())
                .isEqualTo(ErrorCode.NO_EFFECT);
    }

    /** The record of a failed attempt is where the rows are: on the file system that all share. */
    @Test
    void theFlightRecordIsBesideTheRows() {
        LockstepException ended = catchThrowableOfType(
                LockstepException.class,
                () -> llm().backend(address -> TaskContext.getPartitionId() == 3
                                ? ConnectsBy.dying(CpuBackend.create(address))
                                : CpuBackend.create(address))
                        .run(rows(), "prompt", SAMPLED));
        assertThat(ended).hasMessageContaining("planned: dies after the meeting");
        Matcher record = Pattern.compile("record {2}: (.*\\.json)").matcher(ended.getMessage());
        assertThat(record.find()).as(ended.getMessage()).isTrue();
        assertThat(Path.of(record.group(1)))
                .isRegularFile()
                .hasParent(folder.resolve("run").resolve("flight"));
    }

    @Test
    void resumingWantsADirectory() {
        assertThat(catchThrowableOfType(
                        LockstepException.class,
                        () -> Llm.bundled(spark).resume(true).run(rows(), "prompt", SAMPLED)))
                .hasMessageContaining("--checkpoint-dir");
    }

    @ParameterizedTest
    @CsvSource({"MODEL_TOO_LARGE, false", "OUT_OF_MEMORY, true"})
    @FaultCase("F57")
    void memoryThatIsUsedUpIsTriedAgainWithFewerRowsButNotWhileLoading(ErrorCode code, boolean again) {
        try (GangWatch watch = GangWatch.begin(spark.sparkContext())) {
            AttemptFailure failure = AttemptFailure.of(
                    spark.sparkContext(),
                    LockstepException.report(code, "rank 1 failed").exception(),
                    watch,
                    Optional.empty());
            assertThat(failure.retryable()).isEqualTo(again);
            assertThat(failure.smaller()).isEqualTo(again);
        }
    }

    @Test
    void aDeviceThatDoesNotComeBackAtTheEndOfAFailedAttemptEndsTheRunInOneProcess() {
        LockstepException ended = catchThrowableOfType(
                LockstepException.class,
                () -> llm().attempts(3)
                        .backend(address -> TaskContext.getPartitionId() == 1
                                ? new NeverBack(CpuBackend.create(address))
                                : CpuBackend.create(address))
                        .run(rows(), "prompt", SAMPLED));
        assertThat(ended.code()).isEqualTo(ErrorCode.DEVICE_LOST);
        assertThat(ended)
                .hasMessageContainingAll("does not come to its end", "culprit : rank ", "try     : another process")
                .hasMessageNotContaining("attempt : 2");
        assertThat(ended).rootCause().hasMessageContaining("planned: not complete in time");
    }

    @Test
    void aDeviceThatIsLostToTheDriversOwnProcessIsNotTriedAgain() {
        try (GangWatch watch = GangWatch.begin(spark.sparkContext())) {
            AttemptFailure failure = AttemptFailure.of(
                    spark.sparkContext(),
                    LockstepException.report(ErrorCode.DEVICE_LOST, "rank 1 failed")
                            .exception(),
                    watch,
                    Optional.empty());
            assertThat(failure.retryable()).isFalse();
            assertThat(failure.isOfItsProcess()).isTrue();
        }
    }
}
