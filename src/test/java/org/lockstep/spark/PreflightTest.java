package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.spark.preflight.Descriptors;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.preflight.Finding.Level;
import org.lockstep.spark.preflight.Site;
import org.lockstep.topology.ParallelSizes;

/** Every finding of the look before a launch, from what it follows from (P6). */
@Timeout(120)
class PreflightTest {
    private static final ParallelSizes TWO = ParallelSizes.tensor(2).withData(1);

    private static SparkConf conf(String... keysAndValues) {
        SparkConf conf = new SparkConf(false).set("spark.master", "local[2]");
        for (int i = 0; i < keysAndValues.length; i += 2) {
            conf.set(keysAndValues[i], keysAndValues[i + 1]);
        }
        return conf;
    }

    static Stream<Arguments> findings() {
        String cluster = "spark://host:7077";
        String task = "spark.task.resource.gpu.amount";
        String executor = "spark.executor.resource.gpu.amount";
        return Stream.of(
                Arguments.of(
                        conf("spark.lockstep.placement.strikt", "true"),
                        Level.FAIL,
                        ErrorCode.UNKNOWN_SETTING,
                        "there is no setting spark.lockstep.placement.strikt",
                        "did you mean spark.lockstep.placement.strict?"),
                Arguments.of(
                        conf("spark.lockstep.meeting.timeout", "soon"),
                        Level.FAIL,
                        ErrorCode.USAGE,
                        "spark.lockstep.meeting.timeout = soon",
                        "--conf spark.lockstep.meeting.timeout=120s is the default"),
                Arguments.of(
                        conf("spark.api.mode", "connect"),
                        Level.FAIL,
                        ErrorCode.SPARK_CONNECT,
                        "it has no RDDs",
                        "spark.api.mode=classic"),
                Arguments.of(
                        conf("spark.remote", "sc://host"),
                        Level.FAIL,
                        ErrorCode.SPARK_CONNECT,
                        "it has no RDDs",
                        "without spark.remote"),
                Arguments.of(
                        conf("spark.dynamicAllocation.enabled", "true"),
                        Level.FAIL,
                        ErrorCode.DYNAMIC_ALLOCATION,
                        "SPARK-24942",
                        "--conf spark.dynamicAllocation.enabled=false"),
                Arguments.of(
                        conf(task, "1"),
                        Level.FAIL,
                        ErrorCode.LOCAL_GPU,
                        task + " = 1 under the local master local[2]",
                        "remove " + task),
                Arguments.of(
                        conf("spark.master", cluster, "spark.executor.cores", "2", "spark.task.cpus", "4"),
                        Level.FAIL,
                        ErrorCode.TASK_RESOURCES,
                        "a task wants 4 cores (spark.task.cpus), an executor has 2",
                        "--conf spark.task.cpus=2 or less"),
                Arguments.of(
                        conf("spark.master", cluster, task, "2", executor, "1"),
                        Level.FAIL,
                        ErrorCode.TASK_RESOURCES,
                        "a task wants 2 GPUs, an executor has 1",
                        "--conf " + executor + "=2 or more"),
                Arguments.of(
                        conf("spark.master", cluster, task, "0.5", executor, "1"),
                        Level.WARN,
                        ErrorCode.TASK_RESOURCES,
                        "a task takes 0.5 of a GPU",
                        "--conf " + task + "=1"),
                Arguments.of(
                        conf("spark.master", cluster, task, "2", executor, "4"),
                        Level.WARN,
                        ErrorCode.TASK_RESOURCES,
                        "a task takes 2 GPUs and a rank drives one",
                        "--conf " + task + "=1"),
                Arguments.of(
                        conf("spark.master", cluster, executor, "4"),
                        Level.WARN,
                        ErrorCode.TASK_RESOURCES,
                        "executors hold 4 GPUs each, which no task asks for",
                        "--conf " + task + "=1"),
                Arguments.of(
                        conf("spark.master", cluster, task, "1", executor, "2", "spark.executor.cores", "16"),
                        Level.NOTE,
                        ErrorCode.TASK_RESOURCES,
                        "cores for 16 tasks and 2 GPUs: 2 ranks run there",
                        "--conf spark.task.cpus=8"),
                Arguments.of(
                        conf("spark.task.cpus", "many"), Level.FAIL, ErrorCode.USAGE, "spark.task.cpus = many", ""),
                Arguments.of(
                        conf("spark.barrier.sync.timeout", "30s"),
                        Level.WARN,
                        ErrorCode.BARRIER_TIMEOUT,
                        "spark.barrier.sync.timeout (30 s) ends the meeting of the ranks before"
                                + " spark.lockstep.meeting.timeout (120 s)",
                        "--conf spark.barrier.sync.timeout=365d"),
                Arguments.of(
                        conf("spark.master", cluster),
                        Level.WARN,
                        ErrorCode.PLAIN_TRAFFIC,
                        "Spark's own traffic is not authenticated",
                        "--conf spark.authenticate=true"),
                Arguments.of(
                        conf("spark.master", cluster, "spark.authenticate", "true"),
                        Level.WARN,
                        ErrorCode.PLAIN_TRAFFIC,
                        "authenticated and not encrypted",
                        "--conf spark.lockstep.encrypt=true"),
                Arguments.of(
                        conf("spark.speculation", "true"),
                        Level.NOTE,
                        ErrorCode.NO_EFFECT,
                        "Spark leaves barrier stages out",
                        "nothing to do"));
    }

    @ParameterizedTest(name = "{3}")
    @MethodSource("findings")
    @FaultCase({"F46", "F47", "F48", "F53"})
    void ofTheConfiguration(SparkConf conf, Level level, ErrorCode code, String sentence, String line) {
        long start = System.nanoTime();
        List<Finding> found = Preflight.ofConfiguration(conf, TWO, OptionalInt.empty());
        refused(start, "F46", "F48", "F53");
        assertThat(found).anySatisfy(finding -> {
            assertThat(finding.level()).isEqualTo(level);
            assertThat(finding.code()).isEqualTo(code);
            assertThat(finding.sentence()).contains(sentence);
            assertThat(finding.line()).contains(line);
        });
    }

    /** Found since then, before anything is launched. */
    private static void refused(long start, String... cases) {
        Duration time = Duration.ofNanos(System.nanoTime() - start);
        List.of(cases).forEach(each -> FaultLog.released(each, time));
    }

    @Test
    void nothingIsFoundWhereNothingIsWrong() {
        assertThat(Preflight.ofConfiguration(conf(), TWO, OptionalInt.empty())).isEmpty();
        assertThat(Preflight.ofConfiguration(
                        conf(
                                "spark.master", "yarn",
                                "spark.authenticate", "true",
                                "spark.network.crypto.enabled", "true",
                                "spark.executor.cores", "4",
                                "spark.task.cpus", "4"),
                        TWO,
                        OptionalInt.empty()))
                .isEmpty();
    }

    @Test
    @FaultCase({"F45", "F49"})
    void ofTheSizes() {
        assertThat(Preflight.ofConfiguration(
                        conf(), ParallelSizes.tensor(4).withPipeline(2).withData(1), OptionalInt.empty()))
                .singleElement()
                .satisfies(finding -> {
                    assertThat(finding.code()).isEqualTo(ErrorCode.NOT_ENOUGH_SLOTS);
                    assertThat(finding.sentence())
                            .isEqualTo("need 8 slots = tensor 4 × pipeline 2 × data 1, local[2] offers 2");
                    assertThat(finding.line()).isEqualTo("--master local[8]");
                });
        assertThat(Preflight.ofConfiguration(conf(), ParallelSizes.tensor(3), OptionalInt.of(5)))
                .singleElement()
                .satisfies(finding -> {
                    assertThat(finding.code()).isEqualTo(ErrorCode.WORLD_SIZE);
                    assertThat(finding.sentence()).contains("world size (5) is not divisible by tensor (3)");
                    assertThat(finding.line()).endsWith(": 3 or 6 ranks with these");
                });
    }

    /** What fails. */
    private static List<Finding> wrong(
            SparkSession session, ParallelSizes sizes, OptionalInt ranks, @Nullable String model) {
        return wrong(session, sizes, ranks, model, llm -> llm);
    }

    private static List<Finding> wrong(
            SparkSession session,
            ParallelSizes sizes,
            OptionalInt ranks,
            @Nullable String model,
            UnaryOperator<Llm> further) {
        Supplier<Llm> launch = () -> further.apply((model == null ? Llm.bundled(session) : Llm.load(session, model))
                .tensorParallel(sizes.tp())
                .pipelineParallel(sizes.pp())
                .ranks(ranks.orElse(1)));
        return Preflight.ofCluster(session, sizes, ranks, model, Optional.empty(), launch).findings().stream()
                .filter(finding -> finding.level() == Level.FAIL)
                .toList();
    }

    @Test
    @FaultCase({"F45", "F49"})
    void ofTheClusterAndTheModel() throws java.io.IOException {
        try (SparkSession session = Sessions.local(64)) {
            assertThat(wrong(session, ParallelSizes.tensor(2), OptionalInt.of(2), null))
                    .isEmpty();
            long start = System.nanoTime();
            assertThat(wrong(session, ParallelSizes.tensor(65), OptionalInt.empty(), null))
                    .singleElement()
                    .extracting(Finding::code)
                    .isEqualTo(ErrorCode.NOT_ENOUGH_SLOTS);
            refused(start, "F45");
            start = System.nanoTime();
            List<Finding> sevenths = wrong(session, ParallelSizes.tensor(7), OptionalInt.of(7), null);
            refused(start, "F49");
            assertThat(sevenths).singleElement().satisfies(finding -> {
                assertThat(finding.code()).isEqualTo(ErrorCode.MODEL_SHAPE);
                assertThat(finding.sentence()).contains("not divisible by tensor (7)");
                assertThat(finding.line()).startsWith("set tensor parallel to ");
            });
            assertThat(wrong(session, ParallelSizes.pipeline(64), OptionalInt.of(64), null))
                    .singleElement()
                    .satisfies(finding ->
                            assertThat(finding.sentence()).contains("is more stages than the model has layers"));
            assertThat(wrong(session, ParallelSizes.tensor(2), OptionalInt.of(2), "/no/such/model"))
                    .extracting(Finding::code)
                    .containsOnly(ErrorCode.MODEL_NOT_FOUND);
            assertThat(wrong(
                            session,
                            ParallelSizes.tensor(2),
                            OptionalInt.of(2),
                            null,
                            llm -> llm.maxModelLength(1 << 20)))
                    .as("what else a launch would set")
                    .singleElement()
                    .satisfies(finding -> {
                        assertThat(finding.code()).isEqualTo(ErrorCode.USAGE);
                        assertThat(finding.line()).startsWith("--max-model-len ");
                    });
        }
    }

    @Test
    @FaultCase("F60")
    void ofDescriptors() {
        assertThat(Descriptors.limitOf(List.of(
                        "Limit                     Soft Limit           Hard Limit           Units     ",
                        "Max open files            1024                 4096                 files     ")))
                .hasValue(1024);
        assertThat(Descriptors.limitOf(List.of("Max open files            unlimited            unlimited  files")))
                .hasValue(Long.MAX_VALUE);
        assertThat(Descriptors.limitOf(List.of())).isEmpty();
        assertThat(Descriptors.needed(2, List.of(4, 1, 40, 160), 0))
                .as("all of small groups, powers of two of large ones")
                .isEqualTo(2 * (3 + 39 + 14 + 16));
        Site few = new Site("7", "gpu-b-2:40001", new Descriptors(50, 64), true);
        long start = System.nanoTime();
        Optional<Finding> found = few.ofDescriptors(2, ParallelSizes.tensor(4).resolve(8), 8);
        refused(start, "F60");
        assertThat(found).hasValueSatisfying(finding -> {
            assertThat(finding.code()).isEqualTo(ErrorCode.NOT_ENOUGH_DESCRIPTORS);
            assertThat(finding.sentence())
                    .contains("executor 7 may have 64 descriptors and has 50 open, its ranks (2) need ");
            assertThat(finding.line()).startsWith("ulimit -n ");
        });
        Site many = new Site("7", "gpu-b-2:40001", new Descriptors(50, 4096), true);
        assertThat(many.ofDescriptors(2, ParallelSizes.tensor(4).resolve(8), 8)).isEmpty();
    }
}
