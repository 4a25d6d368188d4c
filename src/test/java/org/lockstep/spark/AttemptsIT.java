package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

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
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.spark.preflight.ClusterPreflight;

/** Executors that are killed and frozen in the middle of a run: it ends with the texts of one that nothing disturbed. */
@Timeout(600)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class AttemptsIT {
    private SparkSession session;
    private List<Row> undisturbed = List.of();

    @TempDir
    private Path folder;

    /** One cluster for all tests: it starts another executor in the place of each that is lost. */
    @BeforeAll
    void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        session = Sessions.twoExecutors(Map.of());
    }

    @AfterAll
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

    private CompletableFuture<Generation> running() {
        // tensor groups inside the executors, a pipeline between them: each executor has a part of the one replica
        Llm llm = DyingDriver.llm(session, folder.resolve("run").toString());
        CompletableFuture<Generation> run =
                CompletableFuture.supplyAsync(() -> llm.run(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS));
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
        assertThat(run.report().rowsKept()).isBetween(1L, DyingDriver.ROWS - 1L);
        List<Row> texts = run.rows().collectAsList();
        if (undisturbed.isEmpty()) { // the same for all: made once, on the executors that are there after a fault
            try (Llm alone = Llm.bundled(session).dataParallel(1)) {
                undisturbed = alone.generate(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS)
                        .collectAsList();
            }
        }
        assertThat(texts).isEqualTo(undisturbed);
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
        HeldRanks.letGo(folder.resolve("run").toString());
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
            HeldRanks.letGo(folder.resolve("run").toString());
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

    /** The attempt fails of something else, and the executor told that once only: it is of no use all the same. */
    @Test
    void anExecutorToWhichADeviceIsLostAtTheEndOfAnAttemptIsReplaced() throws IOException {
        assertThat(executors()).hasSize(2);
        Generation ended;
        try (Llm llm = Llm.bundled(session)
                .backend(new NeverBack.Once(folder.toString()))
                .tensorParallel(2)
                .pipelineParallel(2)) {
            ended = llm.run(DyingDriver.rows(session).limit(4), "prompt", DyingDriver.PARAMS);
        }
        assertThat(ended.report().attempts()).isEqualTo(2);
        long useless = Long.parseLong(Files.readString(folder.resolve(NeverBack.Once.FILE)));
        assertThat(executors()).hasSize(2).doesNotContain(useless);
    }
}
