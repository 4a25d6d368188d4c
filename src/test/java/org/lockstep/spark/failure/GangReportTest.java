package org.lockstep.spark.failure;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.hadoop.conf.Configuration;
import org.apache.spark.SparkException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.FirstCause;
import org.lockstep.flight.FlightRecord;

class GangReportTest {
    private static final Exception SPARKS =
            new SparkException("Job aborted due to stage failure: a barrier task is gone");

    @TempDir
    Path folder;

    /** A rank that Spark ended: it says nothing of its own, and hands over its record. */
    private static RankFailure released(int rank, int partition) {
        return failure(rank, partition, false, ErrorCode.CANCELLED, "rank " + rank + " was told to stop", null);
    }

    private static RankFailure failure(
            int rank, int partition, boolean own, ErrorCode code, String summary, @Nullable FirstCause cause) {
        return failure(rank, partition, own, code, summary, cause, List.of(2, 0, 1));
    }

    private static RankFailure failure(
            int rank,
            int partition,
            boolean own,
            ErrorCode code,
            String summary,
            @Nullable FirstCause cause,
            List<Integer> partitions) {
        return new RankFailure(
                rank,
                "h",
                "e" + partition,
                "task",
                partition,
                "",
                0,
                true,
                own,
                code,
                summary,
                "",
                cause,
                Thrown.of(new IllegalStateException(summary)),
                partitions,
                new FlightRecord(rank, "place", 0, FlightRecord.End.RELEASED, List.of()));
    }

    private LockstepException report(List<RankFailure> failures, Map<Integer, String> lost) {
        Map<Integer, String> places = Map.of(
                0, "host h  executor e0  task 4 (partition 0)",
                1, "host h  executor e1  task 5 (partition 1)",
                2, "host h  executor e2  task 6 (partition 2)");
        return GangReport.of(
                        SPARKS,
                        new Gang.Heard(failures, places, Set.of(), lost),
                        new FlightFiles(folder.toString(), "a", new Configuration(false)))
                .exception();
    }

    @Test
    void whoHandsOverNothingDiedWhereSparkEndedTheOthers() {
        LockstepException told =
                report(List.of(released(0, 2), released(2, 1)), Map.of(0, "ExecutorLostFailure (killed)\nmore"));
        assertThat(told.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(told)
                .hasMessageContaining("rank 1 died with an executor, and Spark ended the others")
                .hasMessageContaining(
                        "rank 1  host h  executor e0  task 4 (partition 0)  lost: ExecutorLostFailure (killed)")
                .hasMessageContaining("verdict : lost peer: rank 1 is gone");
        assertThat(told.getMessage()).matches(GangWatchTest.CONTRACT);
        assertThat(folder.resolve("attempt-a.json")).exists();
    }

    /** Spark ended rank 0 for the death of rank 1's executor, and rank 2 saw only how rank 0 left. */
    @Test
    void whoHasToldOfItsEndIsNotTheOneThatIsGone() {
        FirstCause mistaken = new FirstCause(ErrorCode.PEER_LOST, 2, 0, "rank 0 is gone");
        LockstepException told = report(
                List.of(
                        failure(2, 1, true, ErrorCode.PEER_LOST, "rank 0 is gone, its connection closed", mistaken),
                        released(0, 2)),
                Map.of(0, "ExecutorLostFailure (killed)"));
        assertThat(told.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(told)
                .hasMessageContainingAll(
                        "rank 1 died with an executor",
                        "culprit : rank 1  host h  executor e0",
                        "verdict : lost peer: rank 1 is gone")
                .hasMessageNotContaining("rank 0 is gone");
        assertThat(told.getSuppressed()).singleElement().asString().contains("rank 0 is gone, its connection closed");
    }

    /** While ranks are connected no task has one, and its executor is the one that another attempt is to do without. */
    @Test
    void whoFailedBeforeItHadARankIsNotTakenForAnotherThatHadNone() {
        LockstepException told = report(
                List.of(
                        failure(-1, 0, false, ErrorCode.ABORTED, "aborted because of rank 1", null),
                        failure(-1, 1, true, ErrorCode.DEVICE_LOST, "the kernel of rank 1 did not end", null)),
                Map.of());
        assertThat(told.code()).isEqualTo(ErrorCode.DEVICE_LOST);
        assertThat(told).hasMessageContaining("culprit : host h  executor e1  task");
    }

    /** Spark ended rank 0 by an interrupt in the middle of an operation, which it took for a failure of its own. */
    @Test
    void whoWasInterruptedForADeadExecutorIsNotTheOneToBlame() {
        FirstCause interrupted = new FirstCause(ErrorCode.ABORTED, 0, 0, "its thread was interrupted");
        List<RankFailure> heard = List.of(
                failure(0, 2, true, ErrorCode.ABORTED, "aborted because of rank 0: interrupted", interrupted),
                failure(2, 1, false, ErrorCode.ABORTED, "aborted because of rank 0: interrupted", interrupted));
        LockstepException told = report(heard, Map.of(0, "ExecutorLostFailure (killed)"));
        assertThat(told.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(told)
                .hasMessageContainingAll("rank 1 died with an executor", "culprit : rank 1  host h  executor e0");
        assertThat(report(heard, Map.of()).code()).as("nobody died").isEqualTo(ErrorCode.ABORTED);
    }

    /** Rank 0 woke up past its deadline and blames rank 2, which Spark interrupted for that. */
    @Test
    void whoWasInterruptedForAnothersFailureDoesNotExplainIt() {
        FirstCause late = new FirstCause(ErrorCode.COLLECTIVE_TIMEOUT, 0, 2, "rank 2 did not come");
        FirstCause interrupted = new FirstCause(ErrorCode.ABORTED, 2, 2, "its thread was interrupted");
        LockstepException told = report(
                List.of(
                        failure(2, 1, true, ErrorCode.ABORTED, "aborted because of rank 2: interrupted", interrupted),
                        failure(0, 2, true, ErrorCode.COLLECTIVE_TIMEOUT, "not complete in 5 s", late)),
                Map.of());
        assertThat(told.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
    }

    /** Rank 2 had nothing to hand over, though its executor lives. */
    @Test
    void whoDiedIsKnownByItsPartitionWhereMoreAreSilentThanDead() {
        LockstepException told = report(List.of(released(0, 2)), Map.of(0, "killed"));
        assertThat(told)
                .hasMessageContainingAll(
                        "rank 1 died with an executor",
                        "culprit : rank 1  host h  executor e0  task 4 (partition 0)  lost: killed",
                        "verdict : lost peer: rank 1 is gone");
    }

    @Test
    void nobodyIsNamedWhereMoreAreSilentThanDeadAndNoneToldWhereAllAre() throws Exception {
        RankFailure one = failure(0, 2, false, ErrorCode.CANCELLED, "rank 0 was told to stop", null, List.of());
        LockstepException told = report(List.of(one), Map.of(0, "gone"));
        assertThat(told)
                .hasMessageContaining("a rank died with an executor")
                .hasMessageContaining("  culprit : host h  executor e0  task 4 (partition 0)  lost: gone");
        assertThat(Files.readString(folder.resolve("attempt-a.json"))).contains("a rank died");
    }

    @Test
    void withoutALostExecutorItIsWhatSparkSays() {
        assertThat(report(List.of(released(0, 2)), Map.of())).hasMessageContaining("a barrier task is gone");
    }
}
