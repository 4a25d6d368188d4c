package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.inference.SamplingParams;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** Two executors of two slots each, real JVMs, on the jars that {@code package} lays out. */
@Timeout(300)
class LocalClusterIT {
    private static SparkSession session;

    @BeforeEach
    void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        if (session != null) {
            return; // one cluster for all tests
        }
        session = Sessions.twoExecutors(Map.of());
    }

    @AfterAll
    static void stop() {
        if (session != null) {
            session.stop();
        }
    }

    private static BarrierStage<Integer> fourRanks() {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        return BarrierStage.over(spark.parallelize(IntStream.range(0, 4).boxed().toList(), 4))
                .with(ParallelSizes.tensor(2).withPipeline(2));
    }

    @Test
    void tensorGroupsStayInsideAnExecutorHoweverSparkDealsThePartitions() {
        List<String> places = fourRanks()
                .mapRanks((rank, mine) -> {
                    HostBuffer sum = Buffer.ofFloats(1 << rank.state().rank());
                    rank.communicators().model().allReduce(sum, ReduceOp.SUM);
                    HostBuffer tensor = Buffer.ofFloats(1 << rank.state().rank());
                    rank.communicators().tensor().allReduce(tensor, ReduceOp.SUM);
                    return List.of(String.join(
                                    " ",
                                    "rank=" + rank.state().rank(),
                                    "executor=" + SparkEnv.get().executorId(),
                                    "partition=" + BarrierTaskContext.get().partitionId(),
                                    "model=" + sum.get(0),
                                    "tensor=" + tensor.get(0)))
                            .iterator();
                })
                .collect();

        Map<Integer, String> executors = new HashMap<>();
        Map<Integer, Integer> partitions = new HashMap<>();
        for (String place : places) {
            Map<String, String> facts = new HashMap<>();
            for (String fact : place.split(" ")) {
                facts.put(fact.split("=")[0], fact.split("=")[1]);
            }
            int rank = Integer.parseInt(facts.get("rank"));
            executors.put(rank, facts.get("executor"));
            partitions.put(rank, Integer.parseInt(facts.get("partition")));
            assertThat(facts.get("model")).isEqualTo("15.0");
            assertThat(facts.get("tensor")).isEqualTo(rank < 2 ? "3.0" : "12.0");
        }
        assertThat(executors.keySet()).containsExactlyInAnyOrder(0, 1, 2, 3);
        assertThat(new HashSet<>(executors.values()))
                .as("executors at work: %s", places)
                .hasSize(2);
        assertThat(executors.get(0)).as(places.toString()).isEqualTo(executors.get(1));
        assertThat(executors.get(2)).as(places.toString()).isEqualTo(executors.get(3));
        assertThat(Set.copyOf(partitions.values())).hasSize(4);
        assertThat(executors.get(rankOf(partitions, 0)))
                .as("Spark deals neighbouring partitions to different executors: %s", places)
                .isNotEqualTo(executors.get(rankOf(partitions, 1)));
    }

    private static int rankOf(Map<Integer, Integer> partitions, int partition) {
        return partitions.entrySet().stream()
                .filter(entry -> entry.getValue() == partition)
                .findFirst()
                .orElseThrow()
                .getKey();
    }

    @Test
    void aModelSpreadOverTwoJvmsTellsTheSameStories() {
        List<String> prompts = List.of("Once upon a time", "One rainy morning,", "Long ago");
        SamplingParams params = SamplingParams.greedy().withMaxTokens(24);
        Llm llm = Llm.bundled(session);
        List<String> alone = llm.dataParallel(1).generate(prompts, params);

        assertThat(llm.tensorParallel(2).pipelineParallel(2).generate(prompts, params))
                .isEqualTo(alone);
        assertThat(llm.tensorParallel(4).generate(prompts, params)).isEqualTo(alone);
        assertThat(llm.pipelineParallel(2).dataParallel(2).generate(prompts, params))
                .isEqualTo(alone);
    }

    /** Under a path that means another folder in each process. */
    @Test
    void aModelThatExecutorsDoNotSeeIsRefusedBeforeALaunch() {
        Llm llm = Llm.load(session, "/proc/self/cwd/src/main/resources/org/lockstep/models/fable")
                .tensorParallel(4);
        LockstepException told = catchThrowableOfType(
                LockstepException.class, () -> llm.generate(List.of("Once"), SamplingParams.greedy()));
        assertThat(told.code()).isEqualTo(ErrorCode.MODEL_NOT_FOUND);
        assertThat(told)
                .hasMessageContainingAll("executor ", " sees no model in /proc/self/cwd/", "copy it to every host")
                .hasMessageNotContaining("culprit");
    }

    @Test
    void whatStaysSurvivesBetweenRunsAndEndsWithAnExecutor() {
        List<String> prompts = List.of("Once upon a time", "One rainy morning,", "Long ago");
        SamplingParams params = SamplingParams.greedy().withMaxTokens(8);
        Dataset<Row> rows = session.createDataset(prompts, Encoders.STRING()).toDF("prompt");
        try (Llm llm = Llm.bundled(session).tensorParallel(2).pipelineParallel(2)) {
            List<Row> texts = llm.generate(rows, "prompt", params).collectAsList();
            Generation second = llm.run(rows, "prompt", params);
            assertThat(second.report().stayed()).isTrue();
            assertThat(second.report().ranks()).allMatch(rank -> rank.loadNanos() == 0);
            assertThat(second.rows().collectAsList()).isEqualTo(texts);
            assertThat(residents()).as("JVMs in which ranks wait").isEqualTo(2);

            loseAnExecutor();
            await().atMost(Duration.ofSeconds(60))
                    .untilAsserted(() -> assertThat(residents())
                            .as("the others end soon after")
                            .isZero());
            Generation third = llm.run(rows, "prompt", params);
            assertThat(third.report().stayed()).isFalse();
            assertThat(third.rows().collectAsList()).isEqualTo(texts);
            assertThat(llm.run(rows, "prompt", params).report().stayed()).isTrue();
        }
        await().atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(residents()).as("closed").isZero());
    }

    /** In how many executors ranks wait. */
    private static long residents() {
        return JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(IntStream.range(0, 8).boxed().toList(), 8)
                .filter(i -> Thread.getAllStackTraces().keySet().stream()
                        .anyMatch(thread -> thread.getName().equals("lockstep-residents")))
                .map(i -> SparkEnv.get().executorId())
                .distinct()
                .count();
    }

    /** One JVM ends without a word; the cluster starts another in its place. */
    private static void loseAnExecutor() {
        JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(List.of(1), 1)
                .foreach(i -> {
                    if (TaskContext.get().attemptNumber() == 0) {
                        Runtime.getRuntime().halt(1);
                    }
                });
    }

    @Test
    void theTransportsAreExpectedBeforeTheLaunchAndSoTheyAre() {
        assertThat(Llm.bundled(session)
                        .tensorParallel(2)
                        .pipelineParallel(2)
                        .plan()
                        .toString())
                .endsWith("""
                        transports, expected of 2 executors on 1 host
                          tp     2 of 2 ranks: threads of one JVM
                          pp     2 of 2 ranks: shared memory between JVMs of a host
                          model  1 of 4 ranks: threads 2 pairs, shared 4 pairs
                          world  1 of 4 ranks: threads 2 pairs, shared 4 pairs""");
        List<String> met = fourRanks()
                .mapRanks((rank, mine) -> List.of(rank.world().roster().transport(0, 1) + " "
                                + rank.world().roster().transport(0, 2))
                        .iterator())
                .collect();
        assertThat(met).containsOnly(Files.isWritable(Path.of("/dev/shm")) ? "thread shared" : "thread tcp");
    }

    @Test
    void aFailureInOneJvmReleasesTheOtherAndIsNamed() {
        assertThatThrownBy(() -> fourRanks()
                        .mapRanks((rank, mine) -> {
                            if (rank.state().rank() == 3) {
                                throw new IllegalStateException("planned: rank 3 cannot go on");
                            }
                            rank.communicators().model().barrier();
                            return mine;
                        })
                        .collect())
                .hasMessageContaining("rank 3 cannot go on");
        assertThat(fourRanks().mapRanks((rank, mine) -> mine).count())
                .as("the executors serve on")
                .isEqualTo(4);
    }
}
