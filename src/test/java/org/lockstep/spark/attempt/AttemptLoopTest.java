package org.lockstep.spark.attempt;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.commit.AttemptLog;
import org.lockstep.commit.CommitWriter;
import org.lockstep.commit.CommittedRow;
import org.lockstep.commit.Manifest;
import org.lockstep.spark.Sessions;
import org.lockstep.spark.rows.KeptResults;

/** How a run ends when its attempts fail, whatever an attempt is. */
@Timeout(60)
class AttemptLoopTest {
    private static final int ROWS = 4;
    private static SparkSession session;

    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        session = Sessions.local(1);
    }

    @AfterAll
    static void stop() {
        session.stop();
    }

    private LockstepException failure(boolean named, AttemptLoop.Attempt<String> attempt) {
        RunPolicy policy = RunPolicy.NONE
                .withAttempts(3)
                .withCheckpointDir(folder.resolve("run").toString())
                .resolve(session.sparkContext().getConf());
        RunDirectory place = RunDirectory.of(session.sparkContext(), policy.checkpointDir());
        AttemptLoop loop =
                new AttemptLoop(session.sparkContext(), policy, new RunDirectory(place.place(), named), ROWS);
        return catchThrowableOfType(
                LockstepException.class, () -> loop.run(List.of(new Manifest.Field("model", "none")), attempt));
    }

    private static LockstepException lost() {
        return LockstepException.report(ErrorCode.PEER_LOST, "rank 1 is gone").exception();
    }

    private static void commitOneRow(KeptResults.Ticket ticket) {
        try {
            CommitWriter writer =
                    AttemptLog.join(ticket.attempt()).orElseThrow().writer("test");
            writer.append(CommittedRow.completed(2, "a text", "length", 3, 4));
            writer.finish();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    @FaultCase("F19")
    void anAttemptFollowsWhereTheReasonMayBeGoneUntilNoneIsLeft() {
        int[] attempts = new int[1];
        LockstepException told = failure(false, (ticket, watch, number, shrink) -> {
            attempts[0] = number;
            throw lost();
        });
        assertThat(attempts[0]).isEqualTo(3);
        assertThat(told.code()).isEqualTo(ErrorCode.PEER_LOST);
        assertThat(told).hasMessageContainingAll("attempt : 1: ", "attempt : 2: ", "attempt : 3: ", "rank 1 is gone");
        assertThat(folder.resolve("run")).as("nothing is kept, nothing remains").doesNotExist();
    }

    /** Memory that ended while texts were made: fewer rows at once may fit. */
    @Test
    @FaultCase("F57")
    void afterMemoryHasEndedTheNextAttemptHoldsHalfTheRows() {
        List<Integer> halvings = new ArrayList<>();
        failure(false, (ticket, watch, number, shrink) -> {
            halvings.add(shrink);
            throw LockstepException.report(
                            halvings.size() == 1 ? ErrorCode.OUT_OF_MEMORY : ErrorCode.MODEL_TOO_LARGE, "no heap")
                    .exception();
        });
        assertThat(halvings)
                .as("and none follows where the model itself does not fit")
                .containsExactly(0, 1);
    }

    /** Whoever interrupts the caller wants the run to end, though what the attempt itself failed of could be tried again. */
    @Test
    @FaultCase("F14")
    void aCancelThatComesWhileAnAttemptFailsEndsTheRun() {
        int[] attempts = new int[1];
        LockstepException told = failure(true, (ticket, watch, number, shrink) -> {
            attempts[0] = number;
            commitOneRow(ticket);
            Thread.currentThread().interrupt();
            throw lost();
        });
        assertThat(Thread.interrupted()).as("the flag is the caller's again").isTrue();
        assertThat(attempts[0]).isEqualTo(1);
        assertThat(told.code()).isEqualTo(ErrorCode.CANCELLED);
        assertThat(told).isInstanceOf(UnfinishedRunException.class).hasMessageContainingAll("1 of 4 rows", "--resume");
        assertThat(told).hasRootCauseMessage("LOCKSTEP-2002 PEER_LOST  rank 1 is gone");
    }

    /** An error of the driver's own is no reason to try again, and none to say nothing of what is kept. */
    @Test
    void anErrorOfTheDriverSaysWhatIsKept() {
        int[] attempts = new int[1];
        LockstepException told = failure(true, (ticket, watch, number, shrink) -> {
            attempts[0] = number;
            commitOneRow(ticket);
            throw new NoClassDefFoundError("planned");
        });
        assertThat(attempts[0]).isEqualTo(1);
        assertThat(told)
                .isInstanceOf(UnfinishedRunException.class)
                .hasMessageContainingAll("the driver failed: java.lang.NoClassDefFoundError: planned", "1 of 4 rows");
    }

    /** What is wrong with the directory must not take the place of what the attempt failed of. */
    @Test
    @FaultCase({"F11", "F59"})
    void aDirectoryThatCannotBeReadDoesNotHideTheReason() {
        for (boolean named : new boolean[] {false, true}) {
            LockstepException told = failure(named, (ticket, watch, number, shrink) -> {
                replaceByAFolder(folder.resolve("run/attempt-000001"));
                throw LockstepException.report(ErrorCode.COLLECTIVE_MISMATCH, "ranks 0 and 1 differ")
                        .exception();
            });
            assertThat(told.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
            assertThat(told).hasMessageContainingAll("rows that cannot be counted now", "--resume");
            assertThat(Stream.of(told.getCause().getSuppressed()))
                    .anySatisfy(also -> assertThat(also).hasMessageContaining("COMMIT_FAILED"));
            remove(folder.resolve("run"));
        }
    }

    /** Who took the directory has the rows: that is what is told, with what the attempt came to say for its cause. */
    @Test
    @FaultCase("F72")
    void aRunWhoseDirectoryWasTakenSaysSo() {
        LockstepException told = failure(true, (ticket, watch, number, shrink) -> {
            takeFromItsOwner(folder.resolve("run/owner").toString());
            throw lost();
        });
        assertThat(told.code()).isEqualTo(ErrorCode.COMMIT_IN_USE);
        assertThat(told).hasMessageNotContaining("kept").hasRootCauseMessage("LOCKSTEP-2002 PEER_LOST  rank 1 is gone");
    }

    /** Until the owner has looked, and ended what runs of its run: a beat that has looked already writes over it. */
    private static void takeFromItsOwner(String owner) {
        JavaRDD<String> job =
                JavaSparkContext.fromSparkContext(session.sparkContext()).parallelize(List.of(owner), 1);
        assertThatThrownBy(() -> job.foreach(file -> {
                    while (!TaskContext.get().isInterrupted()) {
                        Files.write(Path.of(file), new byte[] {1});
                        LockSupport.parkNanos(10_000_000);
                    }
                }))
                .hasMessageContaining("cancelled");
    }

    private static void replaceByAFolder(Path file) {
        try {
            Files.delete(file);
            Files.createDirectory(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void remove(Path place) {
        try (Stream<Path> all = Files.walk(place)) {
            for (Path each : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(each);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
