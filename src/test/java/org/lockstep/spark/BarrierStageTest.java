package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.lang.reflect.Field;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.LogLines;
import org.lockstep.collective.ReduceOp;
import org.lockstep.spark.failure.GangFailure;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.gang.RankFunction;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;
import org.slf4j.MDC;

@Timeout(120)
class BarrierStageTest {
    /** Ranks of this JVM that are where something shall happen to them. */
    private static final Semaphore THERE = new Semaphore(0);

    private static SparkSession session;
    private static JavaSparkContext spark;

    @BeforeAll
    static void start() {
        session = Sessions.local(4);
        spark = JavaSparkContext.fromSparkContext(session.sparkContext());
    }

    @AfterAll
    static void stop() {
        session.stop();
    }

    private static JavaRDD<Integer> numbers(int count, int partitions) {
        return spark.parallelize(IntStream.range(0, count).boxed().toList(), partitions);
    }

    @Test
    void theExampleOfTheReadme() {
        List<String> sums = BarrierStage.over(numbers(4, 4))
                .with(ParallelSizes.tensor(2).withPipeline(2))
                .mapRanks((rank, mine) -> {
                    HostBuffer x = Buffer.ofFloats(rank.state().rank());
                    rank.communicators().tensor().allReduce(x, ReduceOp.SUM);
                    return List.of(rank.state().rank() + ": " + x.get(0)).iterator();
                })
                .collect();

        assertThat(sums).containsExactlyInAnyOrder("0: 1.0", "1: 1.0", "2: 5.0", "3: 5.0");
    }

    @Test
    void ranksOfOneJvmMeetOnceInOneVenue() {
        List<String> seen = BarrierStage.over(numbers(4, 4))
                .with(ParallelSizes.tensor(4))
                .mapRanks((rank, mine) -> {
                    rank.communicators().world().barrier();
                    boolean threads =
                            rank.world().roster().shareVenue(rank.state().worldGroup());
                    return List.of(barrierEpoch() + " allGather, one JVM: " + threads)
                            .iterator();
                })
                .collect();

        assertThat(seen).hasSize(4).containsOnly("1 allGather, one JVM: true");
    }

    @Test
    void linesOfTheLogCarryTheirRankUntilTheTaskEnds() {
        List<String> tags = BarrierStage.over(numbers(2, 2))
                .ranks(2)
                .mapRanks((rank, mine) -> List.of(MDC.get("rank")).iterator())
                .collect();
        assertThat(tags).containsExactlyInAnyOrder("rank 0 of 2", "rank 1 of 2");

        List<String> after = numbers(2, 2)
                .map(number -> String.valueOf(MDC.get("rank")))
                .distinct()
                .collect();
        assertThat(after).containsExactly("null");
    }

    @Test
    void theSettingSaysWhichTransportsRanksUse() {
        RankFunction<Integer, String> seen =
                (rank, mine) -> List.of(rank.world().roster().transport(0, 1) + " of "
                                + rank.world().roster().ranksOnHost(0))
                        .iterator();
        assertThat(BarrierStage.over(numbers(4, 4)).mapRanks(seen).collect()).containsOnly("thread of 4");
        session.sparkContext().conf().set("spark.lockstep.transports", "tcp");
        try {
            assertThat(BarrierStage.over(numbers(4, 4)).mapRanks(seen).collect())
                    .containsOnly("tcp of 4");
        } finally {
            session.sparkContext().conf().remove("spark.lockstep.transports");
        }
    }

    /** How many synchronisations of Spark's this task has made. */
    private static int barrierEpoch() throws ReflectiveOperationException {
        Field epoch = BarrierTaskContext.class.getDeclaredField("barrierEpoch");
        epoch.setAccessible(true);
        return (int) epoch.get(BarrierTaskContext.get());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 4, 9})
    @FaultCase({"F50", "F56"})
    void anyNumberOfInputPartitionsEmptyOnesIncluded(int partitions) {
        for (int count : new int[] {0, 1, 7}) {
            List<Integer> out = BarrierStage.over(numbers(count, partitions))
                    .with(ParallelSizes.tensor(2))
                    .ranks(4)
                    .mapRanks((rank, mine) -> mine)
                    .collect();
            assertThat(out)
                    .containsExactlyInAnyOrderElementsOf(
                            IntStream.range(0, count).boxed().toList());
        }
    }

    @Test
    @FaultCase("F50")
    void aChainThatSparkRefusesForBarrierStagesIsRepartitioned() {
        JavaRDD<Integer> union = numbers(2, 2).union(numbers(3, 2));
        assertThat(union.getNumPartitions()).isEqualTo(4);
        assertThat(BarrierStage.over(union)
                        .with(ParallelSizes.tensor(4))
                        .mapRanks((rank, mine) -> mine)
                        .collect())
                .containsExactlyInAnyOrder(0, 1, 0, 1, 2);

        JavaRDD<Integer> twice =
                BarrierStage.over(numbers(4, 4)).with(ParallelSizes.tensor(4)).mapRanks((rank, mine) -> mine);
        assertThat(BarrierStage.over(twice)
                        .with(ParallelSizes.tensor(2))
                        .ranks(4)
                        .mapRanks((rank, mine) -> mine)
                        .collect())
                .containsExactlyInAnyOrder(0, 1, 2, 3);
    }

    @Test
    @FaultCase("F50")
    void repartitioningIsSaid() {
        try (LogLines lines = new LogLines(BarrierStage.class)) {
            BarrierStage.over(numbers(4, 4)).with(ParallelSizes.tensor(4)).mapRanks((rank, mine) -> mine);
            assertThat(lines.said()).as("nothing to do, nothing to say").isEmpty();
            BarrierStage.over(numbers(4, 3)).with(ParallelSizes.tensor(4)).mapRanks((rank, mine) -> mine);
            assertThat(lines.said()).containsExactly("repartitioning 3 partitions to 4, one to a rank");
        }
    }

    /** An action on an RDD throws Spark's words of one task, whatever we do: what all ranks know is in the log. */
    @Test
    void aStageThatNobodyWatchesTellsTheLog() {
        try (LogLines log = new LogLines(GangWatch.class)) {
            JavaRDD<Integer> mapped = BarrierStage.over(numbers(4, 4))
                    .with(ParallelSizes.tensor(4))
                    .mapRanks((rank, mine) -> {
                        rank.communicators().tensor().barrier();
                        if (rank.state().rank() == 2) {
                            throw new IllegalStateException("planned: rank 2 cannot go on");
                        }
                        rank.communicators().tensor().barrier();
                        return mine;
                    });
            assertThat(catchThrowableOfType(
                            Exception.class, () -> mapped.map(x -> x + 1).collect()))
                    .isNotInstanceOf(LockstepException.class);
            Awaitility.await()
                    .atMost(Duration.ofSeconds(60))
                    .until(() -> !log.said().isEmpty());
            assertThat(log.said())
                    .singleElement()
                    .satisfies(said -> assertThat(said)
                            .contains(
                                    "the ranks of stage ",
                                    "LOCKSTEP-9001 INTERNAL  rank 2 failed: ",
                                    "planned: rank 2 cannot go on",
                                    "culprit : rank 2  host ",
                                    "verdict : failed: rank 2 failed after barrier #1"));
        }
    }

    @Test
    void replicasFillTheSlotsWhereNothingElseIsSaid() {
        List<Integer> replicas = BarrierStage.over(numbers(4, 1))
                .with(ParallelSizes.pipeline(2))
                .mapRanks((rank, mine) ->
                        List.of(rank.state().dataParallelWorldSize()).iterator())
                .collect();
        assertThat(replicas).containsExactly(2, 2, 2, 2);
    }

    @Test
    void resultsMayBeLazyAndStillUseTheGroups() {
        List<Double> sums = BarrierStage.over(numbers(4, 4))
                .with(ParallelSizes.tensor(4))
                .mapRanks((rank, mine) -> IntStream.range(0, 3)
                        .mapToObj(step -> {
                            HostBuffer x = Buffer.ofFloats(rank.state().rank() + step);
                            rank.communicators().tensor().allReduce(x, ReduceOp.SUM);
                            return x.get(0);
                        })
                        .iterator())
                .collect();
        assertThat(sums).hasSize(12).containsOnly(6.0, 10.0, 14.0);
    }

    @Test
    void aRankThatThrowsReleasesItsPeersAndIsTheOneNamed() {
        assertThatThrownBy(() -> BarrierStage.over(numbers(4, 4))
                        .with(ParallelSizes.tensor(4))
                        .mapRanks((rank, mine) -> {
                            if (rank.state().rank() == 2) {
                                throw new IllegalStateException("planned: rank 2 cannot go on");
                            }
                            rank.communicators().tensor().barrier();
                            return mine;
                        })
                        .collect())
                .hasMessageContaining("planned: rank 2 cannot go on");
        assertNothingIsLeft();
    }

    @Test
    void theFirstCauseIsToldHoweverTheTasksRace() {
        for (int attempt = 0; attempt < 5; attempt++) {
            int culprit = attempt % 4;
            assertThatThrownBy(() -> BarrierStage.over(numbers(4, 4))
                            .with(ParallelSizes.tensor(4))
                            .mapRanks((rank, mine) -> {
                                if (rank.state().rank() == culprit) {
                                    throw LockstepException.report(ErrorCode.CHECKPOINT_INVALID, "planned")
                                            .attempt("nothing")
                                            .exception();
                                }
                                rank.communicators().tensor().barrier();
                                return mine;
                            })
                            .collect())
                    .satisfies(failure -> {
                        LockstepException cause = GangFailure.of(failure);
                        assertThat(cause.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID);
                        assertThat(cause.summary()).isEqualTo("planned");
                        assertThat(cause.advice()).isEqualTo("nothing");
                    });
        }
    }

    @Test
    void aCancelledJobLeavesItsTasksWithinMoments() throws InterruptedException {
        Thread job = new Thread(() -> {
            spark.setJobGroup("doomed", "waits for a rank that never comes", false);
            try {
                BarrierStage.over(numbers(4, 4))
                        .with(ParallelSizes.tensor(4))
                        .mapRanks((rank, mine) -> {
                            THERE.release();
                            if (rank.state().rank() != 0) {
                                rank.communicators().tensor().barrier();
                            }
                            while (!TaskContext.get().isInterrupted()) {
                                Thread.onSpinWait();
                            }
                            return mine;
                        })
                        .collect();
            } catch (Exception expected) {
                // the cancellation
            }
        });
        job.start();
        THERE.acquire(4);
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .until(() -> threads("lockstep-watchdog") == 1); // for all four
        spark.cancelJobGroup("doomed");
        job.join();
        assertNothingIsLeft();
    }

    private static void assertNothingIsLeft() {
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(lockstepThreads()).isEmpty());
    }

    private static long threads(String prefix) {
        return lockstepThreads().stream()
                .filter(name -> name.startsWith(prefix))
                .count();
    }

    private static List<String> lockstepThreads() {
        List<String> names = new ArrayList<>();
        Thread.getAllStackTraces().keySet().forEach(thread -> {
            if (thread.getName().startsWith("lockstep-")) {
                names.add(thread.getName());
            }
        });
        return names;
    }

    @Test
    void aGroupThatWasNotAskedForIsNamed() {
        assertThatThrownBy(() -> BarrierStage.over(numbers(4, 4))
                        .with(ParallelSizes.tensor(4))
                        .connecting(GroupKind.WORLD)
                        .mapRanks((rank, mine) -> {
                            rank.communicators().tensor().barrier();
                            return mine;
                        })
                        .collect())
                .hasMessageContaining("no live group of kind TENSOR");
    }

    @Test
    @FaultCase("F49")
    void impossibleSizesAreRefusedBeforeAnythingIsLaunched() {
        assertRefused(
                ErrorCode.WORLD_SIZE,
                BarrierStage.over(numbers(4, 4)).with(ParallelSizes.tensor(3)).ranks(4),
                "world size (4) is not divisible by tensor (3)");
        assertRefused(
                ErrorCode.NOT_ENOUGH_SLOTS,
                BarrierStage.over(numbers(4, 4))
                        .with(ParallelSizes.tensor(4).withPipeline(2).withData(1)),
                "need 8 slots = tensor 4 × pipeline 2 × data 1",
                "offers 4",
                "local[8]");
        assertRefused(
                ErrorCode.NOT_ENOUGH_SLOTS,
                BarrierStage.over(numbers(4, 4)).with(ParallelSizes.tensor(8)),
                "need 8 slots",
                "offers 4");
    }

    private static void assertRefused(ErrorCode code, BarrierStage<Integer> stage, String... words) {
        assertThatThrownBy(() -> stage.mapRanks((rank, mine) -> mine))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContainingAll(words);
    }

    /** One rank has ten times the work of the others: they wait for it, and nobody is given up. */
    @Test
    @FaultCase("F09")
    void aSlowRankIsWaitedFor() {
        List<Double> sums = BarrierStage.over(numbers(4, 4))
                .with(ParallelSizes.tensor(4))
                .mapRanks((rank, mine) -> {
                    HostBuffer sum = Buffer.ofFloats(0);
                    for (int round = 0; round < 20; round++) {
                        long work = TimeUnit.MILLISECONDS.toNanos(rank.state().rank() == 2 ? 20 : 2);
                        long start = System.nanoTime();
                        while (System.nanoTime() - start < work) {
                            Thread.onSpinWait();
                        }
                        sum.floats()[0] = 1;
                        rank.communicators().tensor().allReduce(sum, ReduceOp.SUM);
                    }
                    return List.of(sum.get(0)).iterator();
                })
                .collect();
        assertThat(sums).hasSize(4).containsOnly(4.0);
    }
}
