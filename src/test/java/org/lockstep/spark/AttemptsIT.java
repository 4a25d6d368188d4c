package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.JobSucceeded$;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerJobEnd;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.LockstepException;
import org.lockstep.LogLines;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.preflight.ClusterPreflight;

/** Executors that are killed and frozen in the middle of a run: it ends with the texts of one that nothing disturbed. */
@Timeout(600)
class AttemptsIT {
    private static final int ROWS = 32;
    private static final SamplingParams LONG =
            SamplingParams.greedy().withMaxTokens(200).withIgnoreEos(true);

    private SparkSession session;

    @TempDir
    private Path folder;

    @BeforeEach
    void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        session = Sessions.twoExecutors(Map.of("spark.lockstep.slots.wait", "90s"));
    }

    @AfterEach
    void stop() {
        if (session != null) {
            session.stop();
        }
    }

    /** When jobs failed: then all ranks of an attempt have been released, or Spark has heard that they are lost. */
    private static final class Failures extends SparkListener {
        private final BlockingQueue<Long> at = new LinkedBlockingQueue<>();

        @Override
        public void onJobEnd(SparkListenerJobEnd job) {
            if (!(job.jobResult() instanceof JobSucceeded$)) {
                at.add(System.nanoTime());
            }
        }
    }

    private Failures failures() {
        Failures failures = new Failures();
        session.sparkContext().addSparkListener(failures);
        return failures;
    }

    private Dataset<Row> rows() {
        List<String> prompts = IntStream.range(0, ROWS)
                .mapToObj(i -> "Once upon a time, " + i + " crows")
                .toList();
        return session.createDataset(prompts, Encoders.STRING()).toDF("prompt");
    }

    /** Tensor groups inside the executors, a pipeline between them: each executor has a part of the one replica. */
    private Llm llm() {
        return Llm.bundled(session)
                .tensorParallel(2)
                .pipelineParallel(2)
                .maxSequences(4)
                .checkpointDir(folder.resolve("run").toString());
    }

    private CompletableFuture<Generation> running() {
        CompletableFuture<Generation> run = CompletableFuture.supplyAsync(() -> llm().run(rows(), "prompt", LONG));
        Awaitility.await().atMost(Duration.ofSeconds(120)).until(() -> run.isDone() || segments() > 0);
        assertThat(run).as("it goes on when the fault comes").isNotDone();
        return run;
    }

    private long segments() throws IOException {
        if (!Files.isDirectory(folder.resolve("run"))) {
            return 0;
        }
        try (Stream<Path> files = Files.list(folder.resolve("run"))) {
            return files.filter(file -> file.getFileName().toString().startsWith("segment-"))
                    .count();
        }
    }

    /** The process of an executor that is not busy with this. */
    private List<Long> executors() {
        Awaitility.await()
                .atMost(Duration.ofSeconds(120))
                .until(() -> ClusterPreflight.slots(session.sparkContext()) == 4);
        List<Integer> many = IntStream.range(0, 16).boxed().toList();
        return JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(many, 16)
                .map(i -> ProcessHandle.current().pid())
                .distinct()
                .collect()
                .stream()
                .sorted()
                .toList();
    }

    private void assertUndisturbed(Generation run) {
        assertThat(run.report().rowsKept()).isBetween(1L, ROWS - 1L);
        List<Row> texts = run.rows().collectAsList();
        try (Llm alone = Llm.bundled(session).dataParallel(1)) {
            assertThat(texts).isEqualTo(alone.generate(rows(), "prompt", LONG).collectAsList());
        }
    }

    private static void signal(String name, long process) throws IOException, InterruptedException {
        assertThat(new ProcessBuilder("kill", "-" + name, Long.toString(process))
                        .inheritIO()
                        .start()
                        .waitFor())
                .isZero();
    }

    @Test
    @FaultCase("F04")
    void aKilledExecutorCostsOneAttempt() throws Exception {
        List<Long> processes = executors();
        assertThat(processes).hasSize(2);
        Failures failures = failures();
        CompletableFuture<Generation> run = running();
        long start = System.nanoTime();
        signal("KILL", processes.get(0));
        FaultLog.released("F04", Duration.ofNanos(failures.at.poll(200, TimeUnit.SECONDS) - start));
        Generation ended = run.get(300, TimeUnit.SECONDS);
        assertThat(ended.report().attempts()).isEqualTo(2);
        assertUndisturbed(ended);
    }

    @Test
    @FaultCase("F05")
    void aFrozenExecutorIsReplaced() throws Exception {
        List<Long> processes = executors();
        assertThat(processes).hasSize(2);
        CompletableFuture<Generation> run = running();
        long frozen = processes.get(0);
        Failures failures = failures();
        long start = System.nanoTime();
        signal("STOP", frozen);
        try {
            FaultLog.released("F05", Duration.ofNanos(failures.at.poll(200, TimeUnit.SECONDS) - start));
            Generation ended = run.get(400, TimeUnit.SECONDS);
            assertThat(ended.report().attempts()).isGreaterThan(1);
            assertUndisturbed(ended);
        } finally {
            if (ProcessHandle.of(frozen).isPresent()) {
                signal("CONT", frozen);
            }
        }
    }

    @Test
    @FaultCase({"F16", "F45"})
    void whoWaitsForSlotsCanBeCancelled() throws Exception {
        CompletableFuture<LockstepException> ended = new CompletableFuture<>();
        CompletableFuture<Long> at = new CompletableFuture<>();
        session.stop();
        session = Sessions.with(Map.of(
                "spark.master", "local-cluster[2,1,1024]",
                "spark.lockstep.slots.wait", "10m",
                "spark.cores.max", "1", // the second executor never comes
                "spark.executor.memory", "1g"));
        Thread caller = new Thread(() -> {
            ended.complete(catchThrowableOfType(
                    LockstepException.class,
                    () -> Llm.bundled(session).dataParallel(2).run(rows(), "prompt", LONG)));
            at.complete(System.nanoTime());
        });
        try (LogLines log = new LogLines(ClusterPreflight.class)) {
            caller.start();
            Awaitility.await()
                    .atMost(Duration.ofSeconds(120))
                    .until(() -> !log.said().isEmpty() || ended.isDone());
            assertThat(ended).as("it waits").isNotDone();
            assertThat(log.said())
                    .as("what a user sees meanwhile")
                    .first(InstanceOfAssertFactories.STRING)
                    .matches("waiting for executors: [01] of 2 slots are there, 5\\d\\d s left");
        }
        long start = System.nanoTime();
        caller.interrupt();
        assertThat(ended.get(60, TimeUnit.SECONDS).code()).isEqualTo(ErrorCode.CANCELLED);
        FaultLog.released("F16", Duration.ofNanos(at.get(1, TimeUnit.SECONDS) - start));
    }
}
