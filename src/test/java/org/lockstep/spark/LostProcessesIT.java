package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.cluster.CoarseGrainedSchedulerBackend;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.LockstepException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.spark.failure.GangWatchTest;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** Drivers that die, executors that run out of memory or are taken away, stages that Spark itself tries again. */
@Timeout(400)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class LostProcessesIT {
    private SparkSession session;
    private List<Row> undisturbed = List.of();

    @TempDir
    private Path folder;

    /** One cluster for all tests: it starts another executor in the place of each that is lost. */
    @BeforeAll
    void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        session = Sessions.twoExecutors(Map.of(
                "spark.scheduler.barrier.maxConcurrentTasksCheck.interval",
                "2s",
                "spark.decommission.enabled",
                "true",
                "spark.storage.decommission.enabled",
                "true",
                "spark.storage.decommission.rddBlocks.enabled",
                "true",
                "spark.storage.decommission.replicationReattemptInterval",
                "1s"));
    }

    @AfterAll
    void stop() {
        if (session != null) {
            session.stop();
        }
    }

    private String kept() {
        return folder.resolve("kept").toString();
    }

    private boolean isCommitting() throws IOException {
        if (!Files.isDirectory(folder.resolve("kept"))) {
            return false;
        }
        try (Stream<Path> files = Files.list(folder.resolve("kept"))) {
            return files.anyMatch(file -> file.getFileName().toString().startsWith("segment-"));
        }
    }

    /** The texts of a run that nothing disturbs, made once: after a fault, on the executors that are there then. */
    private List<Row> undisturbed() {
        if (undisturbed.isEmpty()) {
            try (Llm alone = Llm.bundled(session).dataParallel(1)) {
                undisturbed = alone.generate(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS)
                        .collectAsList();
            }
        }
        return undisturbed;
    }

    /** No process of its executors outlives it for long, and the next driver goes on with what was kept. */
    @Test
    @FaultCase("F13")
    void theExecutorsOfADeadDriverEndAndAnotherOneGoesOn() throws Exception {
        List<String> command = SparkJvm.command();
        command.addAll(List.of(
                "-Xmx1g",
                "-Dspark.lockstep.device=cpu",
                "-cp",
                System.getProperty("java.class.path"),
                DyingDriver.class.getName(),
                kept()));
        Path log = folder.resolve("log");
        Process driver = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        Awaitility.await().atMost(Duration.ofSeconds(180)).until(() -> {
            assertThat(driver.isAlive()).as(Files.readString(log)).isTrue();
            return isCommitting();
        });
        List<ProcessHandle> executors = Files.readAllLines(log).stream()
                .filter(line -> line.startsWith("executors "))
                .flatMap(line -> Stream.of(line.substring(10).split(" ")))
                .flatMap(id -> ProcessHandle.of(Long.parseLong(id)).stream())
                .toList();
        assertThat(executors).hasSize(2);
        long start = System.nanoTime();
        driver.destroyForcibly();
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .until(() -> executors.stream().noneMatch(ProcessHandle::isAlive));
        FaultLog.released("F13", Duration.ofNanos(System.nanoTime() - start));

        HeldRanks.letGo(kept());
        try (Llm llm = DyingDriver.llm(session, kept())) {
            Generation resumed = llm.resume(true).run(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS);
            assertThat(resumed.report().rowsKept()).isPositive();
            assertThat(resumed.rows().collectAsList()).isEqualTo(undisturbed());
        }
    }

    /** A shuffle after the ranks makes theirs a stage that Spark tries again: as another attempt, of which nothing is mixed in. */
    @Test
    @FaultCase("F18")
    void aStageThatSparkTriesAgainIsAnotherAttempt() {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        List<String> rows = BarrierStage.over(
                        spark.parallelize(IntStream.range(0, 4).boxed().toList(), 4))
                .with(ParallelSizes.tensor(4))
                .mapRanks((rank, mine) -> {
                    HostBuffer sum = Buffer.ofFloats(1 << rank.state().rank());
                    rank.communicators().tensor().allReduce(sum, ReduceOp.SUM);
                    int stageAttempt = TaskContext.get().stageAttemptNumber();
                    if (stageAttempt == 0) {
                        if (rank.state().rank() == 3) {
                            Runtime.getRuntime().halt(1);
                        }
                        rank.communicators().tensor().barrier(); // until it is told that rank 3 is gone
                    }
                    return List.of(stageAttempt + " "
                                    + rank.world().roster().hello(0).attempt() + " " + sum.get(0))
                            .iterator();
                })
                .repartition(1)
                .collect();
        assertThat(rows).hasSize(4);
        assertThat(rows.stream().distinct())
                .as("of one attempt")
                .singleElement()
                .satisfies(row -> assertThat(row).matches("[1-3] \\S+ 15\\.0"));
    }

    /** Leaves in the file when there was no memory left, for which it needs none. */
    private static void fillTheHeap(String clock) throws IOException {
        try (FileChannel file = FileChannel.open(
                Path.of(clock), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer time = file.map(FileChannel.MapMode.READ_WRITE, 0, Long.BYTES);
            List<long[]> all = new ArrayList<>();
            try {
                while (true) {
                    all.add(new long[1 << 22]);
                }
            } catch (OutOfMemoryError full) {
                time.putLong(System.currentTimeMillis());
                throw full;
            }
        }
    }

    /** Spark ends an executor whose task runs out of memory: what is told is the reason, not the loss. */
    @Test
    @FaultCase("F57")
    void whoRunsOutOfMemoryIsTheCulprit() throws Exception {
        String clock = folder.resolve("clock").toString();
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        LockstepException told = catchThrowableOfType(
                LockstepException.class,
                () -> BarrierStage.over(
                                spark.parallelize(IntStream.range(0, 4).boxed().toList(), 4))
                        .with(ParallelSizes.tensor(4))
                        .collectRanks((rank, mine) -> {
                            rank.communicators().tensor().barrier();
                            if (rank.state().rank() == 3) {
                                fillTheHeap(clock);
                            }
                            rank.communicators().tensor().barrier();
                            return mine;
                        }));
        long end = System.currentTimeMillis();
        FaultLog.released(
                "F57",
                Duration.ofMillis(end
                        - ByteBuffer.wrap(Files.readAllBytes(Path.of(clock))).getLong()));
        assertThat(told.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY);
        assertThat(told)
                .hasMessageMatching(GangWatchTest.CONTRACT.pattern())
                .hasMessageContainingAll("rank 3 failed", "OutOfMemoryError", "culprit : rank 3 ", "more memory");
    }

    /** An executor that is to be taken away goes on until its task is done, and its rows move to another one. */
    @Test
    @FaultCase("F17")
    void anExecutorThatIsDecommissionedEndsItsWork() throws Exception {
        Llm llm = DyingDriver.llm(session, kept());
        llm.plan();
        String[] victim = victim();
        CompletableFuture<Generation> run =
                CompletableFuture.supplyAsync(() -> llm.run(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS));
        Awaitility.await().atMost(Duration.ofSeconds(120)).until(() -> run.isDone() || isCommitting());
        assertThat(run).isNotDone();
        signal("PWR", victim[0]);
        awaitDecommission(victim[1]);
        HeldRanks.letGo(kept());
        Generation ended = run.get(200, TimeUnit.SECONDS);
        assertThat(ended.report().attempts()).as("it is no failure").isEqualTo(1);
        assertThat(ended.rows().collectAsList()).isEqualTo(undisturbed());
        llm.close();
    }

    /** One that is gone before its task is done costs an attempt, but not one of those that a run has. */
    @Test
    @FaultCase("F17")
    void anExecutorThatIsTakenAwayIsNoFailureOfTheRun() throws Exception {
        try (Llm llm = DyingDriver.llm(session, kept()).attempts(1)) {
            llm.plan();
            String[] victim = victim();
            CompletableFuture<Generation> run = CompletableFuture.supplyAsync(
                    () -> llm.run(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS));
            Awaitility.await().atMost(Duration.ofSeconds(240)).until(() -> run.isDone() || isCommitting());
            assertThat(run).isNotDone();
            signal("PWR", victim[0]);
            awaitDecommission(victim[1]);
            assertThat(run).as("it goes on").isNotDone();
            signal("KILL", victim[0]);
            HeldRanks.letGo(kept());
            Generation ended = run.get(250, TimeUnit.SECONDS);
            assertThat(ended.report().attempts()).isEqualTo(2);
            assertThat(ended.report().rowsKept()).isPositive();
            assertThat(ended.rows().collectAsList()).isEqualTo(undisturbed());
        }
    }

    /** The process of an executor, and Spark's name of it. */
    private String[] victim() {
        return JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(List.of(0), 1)
                .map(i -> ProcessHandle.current().pid() + " " + SparkEnv.get().executorId())
                .first()
                .split(" ");
    }

    private void awaitDecommission(String executor) {
        CoarseGrainedSchedulerBackend backend =
                (CoarseGrainedSchedulerBackend) session.sparkContext().schedulerBackend();
        Awaitility.await().atMost(Duration.ofSeconds(60)).until(() -> !backend.isExecutorActive(executor));
    }

    private static void signal(String name, String process) throws IOException, InterruptedException {
        assertThat(new ProcessBuilder("kill", "-" + name, process)
                        .inheritIO()
                        .start()
                        .waitFor())
                .isZero();
    }
}
