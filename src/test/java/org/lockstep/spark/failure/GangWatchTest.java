package org.lockstep.spark.failure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaFutureAction;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.cpu.ConnectsBy;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.spark.BarrierStage;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.gang.RankFunction;
import org.lockstep.spark.settings.Settings;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ParallelSizes;

/** What the driver says of a gang that failed: the first cause, who, and what the last operations show. */
@Timeout(120)
public class GangWatchTest {
    /** The form of every message; after the sentence only lines with a label of at most eight letters. */
    public static final Pattern CONTRACT =
            Pattern.compile("LOCKSTEP-\\d{4} [A-Z_]+ {2}\\S.*(\\n {2}[a-z]{2,8} *: \\S.*)*");

    /** Where two ranks of this JVM meet before both fail. */
    private static final CyclicBarrier BOTH = new CyclicBarrier(2);

    /** Where those of this JVM who come to a meeting are together before: their clocks begin to run at one time. */
    private static final CyclicBarrier ALL_BUT_ONE = new CyclicBarrier(3);

    /** Ranks of this JVM that are where something shall happen to them. */
    private static final Semaphore THERE = new Semaphore(0);

    private static final Semaphore RANKS_MAY_END = new Semaphore(0);
    private static final Semaphore INPUT_MAY_END = new Semaphore(0);

    /** Whether the test knows how its ranks failed. */
    private static final AtomicBoolean TOLD = new AtomicBoolean();

    /** When a rank of this JVM did what is looked at. */
    private static final AtomicLong FAULT = new AtomicLong();

    private static SparkSession session;

    @TempDir
    private static Path folder;

    @BeforeAll
    static void start() {
        session = Sessions.local(4);
        session.sparkContext().conf().set(Settings.FLIGHT_DIRECTORY.key(), folder.toString());
    }

    @AfterAll
    static void stop() {
        session.stop();
    }

    private static BarrierStage<Integer> ranks(int world) {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        return BarrierStage.over(
                        spark.parallelize(IntStream.range(0, world).boxed().toList(), world))
                .with(ParallelSizes.tensor(world))
                .ranks(world); // or replicas would fill the other slots
    }

    private static LockstepException failureOf(RankFunction<Integer, Integer> function) {
        return failureOf(ranks(4), function);
    }

    private static LockstepException failureOf(BarrierStage<Integer> stage, RankFunction<Integer, Integer> function) {
        TOLD.set(false);
        LockstepException told = catchThrowableOfType(LockstepException.class, () -> stage.collectRanks(function));
        TOLD.set(true);
        assertThat(told).isNotNull();
        assertThat(told.getMessage()).matches(CONTRACT);
        assertNothingRuns();
        return told;
    }

    /** All ranks, and whatever ran for them. */
    private static void released(String faultCase) {
        FaultLog.released(faultCase, Duration.ofNanos(System.nanoTime() - FAULT.getAndSet(0)));
    }

    private static void assertNothingRuns() {
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .untilAsserted(() -> assertThat(Thread.getAllStackTraces().keySet().stream()
                                .map(Thread::getName)
                                .filter(name -> name.startsWith("lockstep-")))
                        .isEmpty());
    }

    private static String record(LockstepException failure) throws Exception {
        Matcher line = Pattern.compile("record {2}: (.*\\.json)").matcher(failure.getMessage());
        assertThat(line.find()).as(failure.getMessage()).isTrue();
        return Files.readString(Path.of(line.group(1)));
    }

    /** Until it is interrupted, which is a failure of its own. */
    private static void awaitForEver() {
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException end) {
            throw new IllegalStateException(end);
        }
    }

    private static void sum(Communicator tensor) {
        tensor.allReduce(Buffer.ofFloats(1, 2), ReduceOp.SUM);
    }

    @Test
    void aRankThatThrowsIsTheCulpritWithItsStack() throws Exception {
        LockstepException failure = failureOf((rank, mine) -> {
            sum(rank.communicators().tensor());
            if (rank.state().rank() == 2) {
                throw new IllegalStateException("planned: rank 2 cannot go on");
            }
            sum(rank.communicators().tensor());
            return mine;
        });
        assertThat(failure.code()).isEqualTo(ErrorCode.INTERNAL);
        assertThat(failure.summary())
                .isEqualTo("rank 2 failed: java.lang.IllegalStateException: planned: rank 2 cannot go on");
        assertThat(failure)
                .hasMessageContainingAll(
                        "culprit : rank 2  host ",
                        "  executor driver  task ",
                        "last op all_reduce #1 sum f32[2] in tp[0]={0,1,2,3}",
                        "verdict : failed: rank 2 failed after all_reduce #1");
        assertThat(failure.getCause()).hasToString("java.lang.IllegalStateException: planned: rank 2 cannot go on");
        assertThat(failure.getCause().getStackTrace()[0].getClassName()).isEqualTo(GangWatchTest.class.getName());
        assertThat(record(failure)).contains("\"kind\" : \"FAILED\"", "\"sequence\" : 1", "\"end\" : \"RELEASED\"");
    }

    @Test
    void ranksThatCallDifferentOperationsAreBothNamed() throws Exception {
        LockstepException failure = failureOf((rank, mine) -> {
            sum(rank.communicators().tensor());
            if (rank.state().rank() == 1) {
                rank.communicators().tensor().allGather(Buffer.ofFloats(1), HostBuffer.allocate(DataType.F32, 4));
            } else {
                sum(rank.communicators().tensor());
            }
            return mine;
        });
        assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
        assertThat(failure)
                .hasMessageContainingAll(
                        "culprit : rank 1 ",
                        "verdict : different operation: rank",
                        "rank 1 called all_gather #2 f32[1]", // first or last: not every other had called by then
                        " called all_reduce #2 sum f32[2]",
                        " in tp[0]={0,1,2,3} (operation, reduce op, count differ)");
    }

    @Test
    @FaultCase("F07")
    void aRankThatReturnsEarlyNeverEntered() {
        LockstepException failure = failureOf((rank, mine) -> {
            sum(rank.communicators().tensor());
            if (rank.state().rank() != 3) {
                sum(rank.communicators().tensor());
            }
            FAULT.accumulateAndGet(System.nanoTime(), (before, now) -> before == 0 ? now : before);
            return mine;
        });
        released("F07");
        assertThat(failure.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(failure)
                .hasMessageContainingAll(
                        "all_reduce #2 sum f32[2] in tp[0]={0,1,2,3}: rank 3 left the group",
                        "culprit : rank 3 ",
                        "verdict : missing enter: rank 3 never entered all_reduce #2 sum f32[2] in tp[0]={0,1,2,3}: it"
                                + " returned");
    }

    @Test
    void aRankThatComputesOnIsSaidToBeStuck() {
        session.sparkContext()
                .conf()
                .set(Settings.COLLECTIVE_TIMEOUT.key(), "4s"); // in which the others come, however slow
        try {
            LockstepException failure = failureOf((rank, mine) -> {
                sum(rank.communicators().tensor().within(Duration.ofMinutes(1))); // ranks start apart
                if (rank.state().rank() == 0) {
                    while (!TOLD.get()) {
                        Thread.onSpinWait(); // a callback that looks at nothing
                    }
                }
                sum(rank.communicators().tensor());
                return mine;
            });
            assertThat(failure.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
            assertThat(failure)
                    .hasMessageContainingAll(
                            "all_reduce #2 sum f32[2] in tp[0]={0,1,2,3} not complete in 4.0 s",
                            "culprit : rank 0 ",
                            "waiting : ranks 1,2,3",
                            "verdict : stuck in compute: rank 0 has entered nothing; ranks 1,2,3 wait in all_reduce #2",
                            "try     : see the culprit's log; raise spark.lockstep.collective.timeout");
        } finally {
            session.sparkContext().conf().remove(Settings.COLLECTIVE_TIMEOUT.key());
        }
    }

    @Test
    @FaultCase("F10")
    void ofTwoRanksThatFailAtOnceOneIsTheCauseAndTheOtherIsKept() {
        LockstepException failure = failureOf((rank, mine) -> {
            rank.communicators().tensor().barrier();
            if (rank.state().rank() == 1 || rank.state().rank() == 2) {
                BOTH.await();
                FAULT.set(System.nanoTime());
                throw new IllegalStateException("planned: " + rank.state().rank());
            }
            rank.communicators().tensor().barrier();
            return mine;
        });
        released("F10");
        assertThat(failure.summary()).matches("rank (1|2) failed: java.lang.IllegalStateException: planned: \\1");
        String other = failure.summary().startsWith("rank 1") ? "planned: 2" : "planned: 1";
        assertThat(failure.getSuppressed()).anyMatch(each -> each.toString().endsWith(other));
    }

    @Test
    @FaultCase("F11")
    void whatFailsInCleaningUpNeverReplacesTheCause() {
        LockstepException failure = failureOf((rank, mine) -> {
            TaskContext.get().addTaskCompletionListener((org.apache.spark.util.TaskCompletionListener) over -> {
                throw new IllegalStateException("cleaning up failed too");
            });
            rank.keep("what cannot be given back", () -> {
                throw new IllegalArgumentException("giving back failed too");
            });
            rank.communicators().tensor().barrier();
            if (rank.state().rank() == 1) {
                FAULT.set(System.nanoTime());
                throw LockstepException.report(ErrorCode.CHECKPOINT_INVALID, "planned")
                        .attempt("nothing")
                        .exception();
            }
            rank.communicators().tensor().barrier();
            return mine;
        });
        released("F11");
        assertThat(failure.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID);
        assertThat(failure.summary()).isEqualTo("planned");
        assertThat(failure.advice()).isEqualTo("nothing");
    }

    /** Nothing of what it did is lost, but another rank in its process fails. */
    @Test
    void aRankThatLosesItsDeviceWhenAllIsDoneHasDoneItAndTellsOfTheDevice() {
        try (GangWatch watch = GangWatch.begin(session.sparkContext())) {
            List<Integer> done = ranks(2).watchedBy(watch)
                    .mapRanks((rank, mine) -> {
                        rank.keep("a device", () -> {
                            if (rank.state().rank() == 1) {
                                throw LockstepException.report(ErrorCode.DEVICE_LOST, "planned: it is off the bus")
                                        .exception();
                            }
                        });
                        return mine;
                    })
                    .collect();
            assertThat(done).containsExactlyInAnyOrder(0, 1);
            assertThat(watch.useless()).containsOnlyKeys("driver");
            RankFailure lost = watch.useless().get("driver");
            assertThat(lost.rank()).isEqualTo(1);
            assertThat(lost.summary()).contains("planned: it is off the bus");
            assertThat(lost.own()).isFalse();
            watch.next();
            assertThat(watch.useless()).isEmpty();
        }
    }

    @Test
    @FaultCase("F01")
    void aFailureBeforeTheMeetingNamesThePartition() {
        BarrierStage<Integer> stage = ranks(4).on(address -> {
            if (TaskContext.getPartitionId() == 2) {
                throw new IllegalStateException("planned: no device");
            }
            return CpuBackend.create(address);
        });
        assertThat(failureOf(stage, (rank, mine) -> mine))
                .hasMessageContainingAll("planned: no device", "culprit : host ", "partition 2)");
    }

    @Test
    @FaultCase("F03")
    void aRankThatDiesBeforeItConnectsReleasesThoseWhoCallIt() {
        session.sparkContext().conf().set(Settings.TRANSPORTS.key(), "tcp");
        try {
            BarrierStage<Integer> stage = ranks(4).on(address -> TaskContext.getPartitionId() == 3
                    ? ConnectsBy.dying(CpuBackend.create(address))
                    : CpuBackend.create(address));
            long start = System.nanoTime();
            LockstepException told = failureOf(stage, (rank, mine) -> mine);
            FaultLog.released("F03", Duration.ofNanos(System.nanoTime() - start));
            assertThat(told)
                    .hasMessageContainingAll("planned: dies after the meeting", "culprit : host ", "partition 3)");
        } finally {
            session.sparkContext().conf().remove(Settings.TRANSPORTS.key());
        }
    }

    /** In the task of partition 1 never; in those of the others when all of them are there. */
    private static CpuBackend comingTogether(InetAddress address, CyclicBarrier others) {
        if (TaskContext.getPartitionId() == 1) {
            awaitForEver();
        }
        try {
            others.await();
        } catch (InterruptedException | BrokenBarrierException end) {
            throw new IllegalStateException(end);
        }
        return CpuBackend.create(address);
    }

    /** Spark 4 forgets the limit of its own meeting when another barrier stage ends meanwhile. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @FaultCase("F02")
    void aTaskThatNeverComesToTheMeetingIsNamed(boolean besideAnother) throws Exception {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        session.sparkContext().conf().set(Settings.MEETING_TIMEOUT.key(), "4s");
        Thread other = new Thread(() -> BarrierStage.over(spark.parallelize(List.of(0), 1))
                .with(ParallelSizes.tensor(1).withData(1))
                .mapRanks((rank, mine) -> mine)
                .collect());
        try {
            BarrierStage<Integer> stage = ranks(3).on(address -> comingTogether(address, BOTH));
            if (besideAnother) {
                other.start();
            }
            long start = System.nanoTime();
            LockstepException told = failureOf(stage, (rank, mine) -> mine);
            FaultLog.released("F02", Duration.ofNanos(System.nanoTime() - start).minusSeconds(4));
            other.join();
            assertThat(told.code()).isEqualTo(ErrorCode.RENDEZVOUS_TIMEOUT);
            assertThat(told)
                    .hasMessageContainingAll(
                            "not all of the 3 tasks",
                            "met within 4 s: partition 1 never came",
                            "culprit : host localhost  executor driver  task ",
                            "waiting : partitions 0,2",
                            "verdict : missing enter: partition 1 never came to the meeting; partitions 0,2 waited there",
                            "record  : ");
        } finally {
            session.sparkContext().conf().remove(Settings.MEETING_TIMEOUT.key());
        }
    }

    /** A shuffle before the ranks is another stage, in whose partitions no rank was. */
    @Test
    void theTasksOfAShuffleBeforeTheRanksAreNotTheirs() {
        session.sparkContext().conf().set(Settings.MEETING_TIMEOUT.key(), "2s");
        try {
            JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
            BarrierStage<Integer> stage = BarrierStage.over(
                            spark.parallelize(List.of(0, 1, 2, 3, 4, 5), 6).repartition(4))
                    .with(ParallelSizes.tensor(4))
                    .on(address -> comingTogether(address, ALL_BUT_ONE));
            assertThat(failureOf(stage, (rank, mine) -> mine))
                    .hasMessageContainingAll("met within 2 s: partition 1 never came", "waiting : partitions 0,2,3");
        } finally {
            session.sparkContext().conf().remove(Settings.MEETING_TIMEOUT.key());
        }
    }

    /** A task that reads an input may take its time: an executor that has no other is held by no rank. */
    @Test
    void ofTheTasksOfARunOnlyItsRanksHoldAnExecutor() throws Exception {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        try (GangWatch watch = GangWatch.begin(session.sparkContext())) {
            JavaFutureAction<Void> input =
                    spark.parallelize(List.of(0), 1).foreachAsync(each -> INPUT_MAY_END.acquire());
            JavaFutureAction<List<Integer>> run = ranks(2).watchedBy(watch)
                    .mapRanks((rank, mine) -> {
                        THERE.release();
                        RANKS_MAY_END.acquire();
                        return mine;
                    })
                    .collectAsync();
            THERE.acquire(2);
            Awaitility.await().untilAsserted(() -> assertThat(watch.busy()).containsExactly("driver"));
            RANKS_MAY_END.release(2);
            run.get();
            assertThat(watch.awaitRanks(Duration.ofMinutes(1))).isTrue();
            assertThat(watch.busy()).isEmpty();
            assertThat(watch.awaitEnd(Duration.ZERO)).as("the end of all").isFalse();
            INPUT_MAY_END.release();
            input.get();
            assertThat(watch.awaitEnd(Duration.ofMinutes(1))).isTrue();
        }
        assertNothingRuns();
    }

    /** As Spark's block manager does, whose cleaning up after a task that failed is interrupted with the other tasks. */
    @Test
    @FaultCase("F11")
    void whatIsThrownInAFailuresPlaceIsNotTheCause() throws Exception {
        try (GangWatch watch = GangWatch.begin(session.sparkContext())) {
            JavaRDD<Integer> results = ranks(2).watchedBy(watch)
                    .mapRanks((rank, mine) -> {
                        if (rank.state().rank() != 1) {
                            sum(rank.communicators().tensor());
                            return mine;
                        }
                        return Stream.<Integer>generate(() -> {
                                    throw new IllegalStateException("planned: rank 1 cannot go on");
                                })
                                .iterator();
                    })
                    .mapPartitions(each -> {
                        try {
                            each.next();
                        } catch (IllegalStateException failure) {
                            throw new InterruptedException();
                        }
                        return each;
                    });
            Exception thrown = catchThrowableOfType(Exception.class, results::collect);
            assertThat(watch.report(thrown).exception())
                    .hasMessageContainingAll(
                            "rank 1 failed: java.lang.IllegalStateException: planned", "culprit : rank 1 ");
        }
        assertNothingRuns();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @FaultCase("F20")
    void aCancelledJobIsLeftAlsoByCallbacksThatSwallowInterrupts(boolean interrupts) throws Exception {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        Thread job = new Thread(() -> {
            spark.setJobGroup("doomed", "swallows interrupts", interrupts);
            catchThrowableOfType(
                    Exception.class,
                    () -> BarrierStage.over(spark.parallelize(List.of(0, 1, 2, 3), 4))
                            .with(ParallelSizes.tensor(4))
                            .mapRanks((rank, mine) -> {
                                THERE.release();
                                while (rank.state().rank() != 0) {
                                    try {
                                        Thread.sleep(20); // a callback that has its own idea of interrupts
                                    } catch (InterruptedException ignored) {
                                        Thread.onSpinWait();
                                    }
                                    sum(rank.communicators().tensor());
                                }
                                while (!TaskContext.get().isInterrupted()) {
                                    Thread.onSpinWait();
                                }
                                return mine;
                            })
                            .collect());
        });
        job.start();
        THERE.acquire(4);
        long start = System.nanoTime();
        spark.cancelJobGroup("doomed");
        job.join();
        assertNothingRuns();
        FaultLog.released("F20", Duration.ofNanos(System.nanoTime() - start));
    }
}
