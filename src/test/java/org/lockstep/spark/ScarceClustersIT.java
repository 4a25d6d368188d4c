package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaSparkContext;
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
import org.lockstep.spark.failure.GangWatchTest;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.settings.Settings;

/** Clusters that have less than a run needs: of executors, of memory. */
@Timeout(400)
class ScarceClustersIT {
    private SparkSession session;

    @TempDir
    private Path folder;

    @BeforeEach
    void assumeThatExecutorsStart() throws IOException {
        Sessions.assumeThatExecutorsStart();
    }

    @AfterEach
    void stop() {
        if (session != null) {
            session.stop();
        }
    }

    @Test
    @FaultCase({"F16", "F45"})
    void whoWaitsForSlotsCanBeCancelled() throws Exception {
        CompletableFuture<LockstepException> ended = new CompletableFuture<>();
        CompletableFuture<Long> at = new CompletableFuture<>();
        session = Sessions.with(Map.of(
                "spark.master", "local-cluster[2,1,1024]",
                "spark.lockstep.slots.wait", "10m",
                "spark.cores.max", "1", // the second executor never comes
                "spark.executor.memory", "1g"));
        Thread caller = new Thread(() -> {
            ended.complete(catchThrowableOfType(
                    LockstepException.class,
                    () -> Llm.bundled(session)
                            .dataParallel(2)
                            .run(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS)));
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
        FaultLog.released("F16", Duration.ofNanos(at.get(60, TimeUnit.SECONDS) - start));
    }

    /** What holds most of an executor's heap, so that a model which would fit by its numbers does not. */
    private static final class Held {
        private static final List<byte[]> ALL = new CopyOnWriteArrayList<>();

        static int hold(int mebibytes) {
            while (ALL.size() < 4 * mebibytes) {
                ALL.add(new byte[1 << 18]); // larger ones would take whole regions of the heap for themselves
            }
            return ALL.size() / 4;
        }
    }

    /** Another attempt would run out too. The executors live, with what was loaded given back. */
    @Test
    @FaultCase("F57")
    void aShareThatOverfillsTheHeapIsNotTriedAgain() throws Exception {
        session = Sessions.executors(
                2, 1, Map.of("spark.lockstep.slots.wait", "240s", Settings.MAX_STEP_LENGTH.key(), "16"));
        WideModel.write(folder.resolve("wide"), 1 << 18);
        try (Llm llm = Llm.load(session, folder.resolve("wide").toString())
                .tensorParallel(2)
                .maxSequences(1)) {
            llm.plan();
            String executors = DyingDriver.executors(session);
            assertThat(JavaSparkContext.fromSparkContext(session.sparkContext())
                            .parallelize(IntStream.range(0, 32).boxed().toList(), 32)
                            .map(i -> Held.hold(600))
                            .collect())
                    .allMatch(held -> held >= 600);
            LockstepException told = catchThrowableOfType(
                    LockstepException.class, () -> llm.run(DyingDriver.rows(session), "prompt", DyingDriver.PARAMS));
            assertThat(told.code()).isEqualTo(ErrorCode.MODEL_TOO_LARGE);
            assertThat(told)
                    .hasMessageMatching(GangWatchTest.CONTRACT.pattern())
                    .hasMessageContainingAll(
                            "'s share of the model is more than there is memory for: weights and cache of a rank need 7",
                            "the heap is 1,024 MiB",
                            "culprit : rank ")
                    .hasMessageNotContaining("attempt :");
            assertThat(DyingDriver.executors(session)).as("they live").isEqualTo(executors);
        }
    }
}
