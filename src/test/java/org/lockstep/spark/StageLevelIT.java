package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.resource.ExecutorResourceRequests;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.resource.ResourceProfileBuilder;
import org.apache.spark.resource.TaskResourceRequests;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.ReduceOp;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.preflight.ClusterPreflight;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ParallelSizes;

/**
 * Stage-level scheduling on two executors of four cores and two GPUs, real JVMs with GPUs of a discovery script: the application's own
 * tasks take a core and no GPU, those of a gang by a resource profile two cores and a GPU.
 */
@Timeout(300)
class StageLevelIT {
    private static SparkSession session;

    @TempDir
    private static Path folder;

    @BeforeEach
    void start() throws IOException {
        Sessions.assumeThatExecutorsStart();
        if (session != null) {
            return; // one cluster for all tests
        }
        Path script = Files.writeString(
                folder.resolve("gpus.sh"),
                "#!/bin/sh\necho '{\"name\": \"gpu\", \"addresses\": [\"0\", \"1\", \"2\", \"3\"]}'\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        session = Sessions.executors(
                2,
                4,
                Map.of(
                        "spark.worker.resource.gpu.amount", "2",
                        "spark.worker.resource.gpu.discoveryScript", script.toString(),
                        "spark.executor.resource.gpu.amount", "2"));
        Awaitility.await()
                .atMost(Duration.ofSeconds(120))
                .until(() -> ClusterPreflight.slots(session.sparkContext()) == 8);
    }

    @AfterAll
    static void stop() {
        if (session != null) {
            session.stop();
        }
    }

    private static ResourceProfile gang() {
        return new ResourceProfileBuilder()
                .require(new TaskResourceRequests().cpus(2).resource("gpu", 1))
                .build();
    }

    private static JavaRDD<Integer> numbers(int partitions) {
        return JavaSparkContext.fromSparkContext(session.sparkContext())
                .parallelize(List.of(1, 2, 3, 4, 5, 6, 7, 8), partitions);
    }

    @Test
    void ranksHaveWhatTheirProfileAsksForAndAllOtherTasksDoNot() {
        List<String> ranks = BarrierStage.over(numbers(4).withResources(gang()))
                .with(ParallelSizes.tensor(2))
                .collectRanks((rank, mine) -> {
                    TaskContext task = TaskContext.get();
                    Buffer sum = Buffer.ofFloats(1);
                    rank.communicators().world().allReduce(sum, ReduceOp.SUM);
                    return List.of("executor " + SparkEnv.get().executorId() + " gpu "
                                    + String.join(
                                            ",", task.resourcesJMap().get("gpu").addresses()) + " cpus "
                                    + task.cpus() + " " + sum)
                            .iterator();
                });

        assertThat(ranks)
                .as("each GPU once, so that no more ranks are there than GPUs")
                .hasSize(4)
                .doesNotHaveDuplicates()
                .allMatch(rank -> rank.matches("executor [01] gpu [0-3] cpus 2 .*4\\.0.*"));
        assertThat(numbers(4)
                        .map(number -> TaskContext.get().resourcesJMap().size() + " "
                                + TaskContext.get().cpus())
                        .collect())
                .containsOnly("0 1");
    }

    @Test
    void slotsAreCountedAsTheProfileHasThem() {
        BarrierStage<Integer> stage = BarrierStage.over(numbers(8).withResources(gang()));
        assertThatThrownBy(() -> stage.with(ParallelSizes.tensor(8)).collectRanks((rank, mine) -> mine))
                .isInstanceOfSatisfying(
                        LockstepException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.NOT_ENOUGH_SLOTS))
                .hasMessageContaining("need 8 slots")
                .hasMessageContaining("offers 4");
        assertThat(stage.with(ParallelSizes.tensor(2)).collectRanks((rank, mine) -> mine))
                .as("repartitioned to the four ranks that there is room for")
                .containsExactlyInAnyOrder(1, 2, 3, 4, 5, 6, 7, 8);
    }

    @Test
    void aModelRunsInTasksOfItsProfile() {
        try (Llm llm =
                Llm.bundled(session).tensorParallel(2).device(DeviceChoice.CPU).withResources(gang())) {
            Plan plan = llm.plan();
            assertThat(plan.grid().worldSize()).isEqualTo(4);
            assertThat(plan.perRank().threads()).isEqualTo(2);
            assertThat(llm.generate(
                            List.of("Once upon a time", "The fox"),
                            SamplingParams.greedy().withMaxTokens(4)))
                    .hasSize(2)
                    .noneMatch(String::isBlank);
        }
        assertThat(Llm.bundled(session).tensorParallel(2).plan().grid().worldSize())
                .as("the application's own tasks: a core each, and no GPU")
                .isEqualTo(8);
    }

    @Test
    void aProfileOfExecutorsIsRefusedWithItsReason() {
        ResourceProfile executors = new ResourceProfileBuilder()
                .require(new ExecutorResourceRequests().cores(2))
                .require(new TaskResourceRequests().cpus(1))
                .build();
        assertThatThrownBy(() -> Llm.bundled(session).withResources(executors).plan())
                .isInstanceOfSatisfying(
                        LockstepException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.TASK_RESOURCES))
                .hasMessageContaining("dynamic allocation")
                .hasMessageContaining("TaskResourceRequests");
        JavaRDD<Integer> numbers = numbers(2);
        assertThatThrownBy(() -> numbers.withResources(executors))
                .as("Spark's own word")
                .hasMessageContaining("with dynamic allocation enabled");
    }
}
