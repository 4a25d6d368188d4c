package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.Heap;
import org.lockstep.topology.ParallelSizes;

/**
 * A thousand ranks in one JVM meet; the times are printed and in the table of faults, not judged. That little of the heap stays
 * taken afterwards is: the JVM is the driver's too.
 */
@Timeout(300)
class MeetingScaleIT {
    private static final int RANKS = 1024;

    /** Bytes: Spark keeps what it knows of a task, for its pages. */
    private static final long LEFT_BY_A_RANK = 8 << 10;

    private static SparkSession session;

    @BeforeAll
    static void start() {
        session = Sessions.local(RANKS);
    }

    @AfterAll
    static void stop() {
        session.stop();
    }

    private record Seen(int rank, long meeting, long connecting, long setup) implements java.io.Serializable {}

    @Test
    @FaultCase("F42")
    void aThousandRanksMeet() {
        JavaSparkContext spark = JavaSparkContext.fromSparkContext(session.sparkContext());
        List<Integer> rows = IntStream.range(0, RANKS).boxed().toList();
        long heap = Heap.used();
        long first = 0;
        for (int round = 1; round <= 2; round++) {
            long start = System.nanoTime();
            List<Seen> seen = BarrierStage.over(spark.parallelize(rows, RANKS))
                    .with(ParallelSizes.tensor(8).withPipeline(4))
                    .mapRanks((rank, mine) -> List.of(new Seen(
                                    rank.state().rank(),
                                    rank.world().meetingTime().toMillis(),
                                    rank.world().connectTime().toMillis(),
                                    rank.setupTime().toMillis()))
                            .iterator())
                    .collect();
            FaultLog.measured(
                    "F42",
                    Duration.ofMillis(slowest(seen, Comparator.comparingLong(Seen::meeting))
                            .meeting()));
            System.out.printf(
                    Locale.ROOT,
                    "%,d ranks, round %d: slowest meeting %,d ms, connecting %,d ms, start of a task to live groups"
                            + " %,d ms; whole stage %,d ms%n",
                    RANKS,
                    round,
                    slowest(seen, Comparator.comparingLong(Seen::meeting)).meeting(),
                    slowest(seen, Comparator.comparingLong(Seen::connecting)).connecting(),
                    slowest(seen, Comparator.comparingLong(Seen::setup)).setup(),
                    (System.nanoTime() - start) / 1_000_000);
            assertThat(seen)
                    .as("time in which all have met, where the table of faults judges the case's bound")
                    .allSatisfy(each -> assertThat(each.meeting()).isLessThanOrEqualTo(60_000));
            long most = round == 1 ? 64 << 20 : first + RANKS * LEFT_BY_A_RANK;
            long more = Awaitility.await(round == 1 ? "with what Spark and Lockstep load" : "bytes that a stage leaves")
                    .atMost(Duration.ofSeconds(60))
                    .until(() -> Heap.used() - heap, taken -> taken < most); // Spark forgets some moments late
            System.out.printf(Locale.ROOT, "heap after it: %,d KiB more than before all%n", more / 1024);
            first = more;
            assertThat(seen).extracting(Seen::rank).containsExactlyInAnyOrderElementsOf(rows);
        }
    }

    private static Seen slowest(List<Seen> all, Comparator<Seen> by) {
        return all.stream().max(by).orElseThrow();
    }
}
