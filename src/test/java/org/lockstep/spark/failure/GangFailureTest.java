package org.lockstep.spark.failure;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

class GangFailureTest {
    @Test
    void ourReportIsTakenOutOfSparksSentence() {
        LockstepException thrown = LockstepException.report(
                        ErrorCode.COLLECTIVE_TIMEOUT,
                        "all_reduce #4711 sum bf16[4096] in tp[2]={4,5,6,7} not complete in 15.0 s")
                .culprit("rank 5  host gpu-b-2  executor 3")
                .attempt("see executor 3's log; raise spark.lockstep.collective.timeout")
                .exception();
        RuntimeException spark =
                new RuntimeException("Job aborted due to stage failure: Could not recover from a failed"
                        + " barrier ResultStage. Most recent failure reason: Stage failed because barrier task ResultTask(0, 3)"
                        + " finished unsuccessfully.\norg.lockstep.collective.CommunicatorException: "
                        + thrown.getMessage()
                        + "\n\tat org.lockstep.cpu.Somewhere.go(Somewhere.java:1)\n\tat java.base/java.lang.Thread.run(Thread.java:840)\n"
                        + "\nDriver stacktrace:");

        LockstepException cause = GangFailure.of(spark);

        assertThat(cause.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
        assertThat(cause).hasMessage(thrown.getMessage()).hasCause(spark);
    }

    @Test
    void aForeignExceptionIsNamed() {
        LockstepException cause = GangFailure.of(
                new RuntimeException(
                        "Job aborted due to stage failure: Could not recover"
                                + " from a failed barrier ResultStage.\njava.lang.IllegalStateException: the user's own\n\tat x.Y.z(Y.java:1)"));

        assertThat(cause.code()).isEqualTo(ErrorCode.INTERNAL);
        assertThat(cause.summary()).isEqualTo("a rank failed: java.lang.IllegalStateException: the user's own");
    }

    /** A peer that was aborted may be the task that Spark reports. */
    @Test
    void whatAnAbortedPeerQuotesIsTheFirstCause() {
        String peer =
                "org.lockstep.collective.CommunicatorException: LOCKSTEP-2004 ABORTED  barrier #2 in tp[0]={0,1,2,3}"
                        + " aborted because of rank 3: ";
        String rest = "\n  culprit : rank 3  host a\n\tat org.lockstep.x(X.java:1)";

        LockstepException ours = GangFailure.of(new RuntimeException(
                peer + "LOCKSTEP-4002 CHECKPOINT_INVALID  a shard is short by 7 bytes (try: copy it again)" + rest));
        assertThat(ours.code()).isEqualTo(ErrorCode.CHECKPOINT_INVALID);
        assertThat(ours)
                .hasMessage("LOCKSTEP-4002 CHECKPOINT_INVALID  a shard is short by 7 bytes\n"
                        + "  culprit : rank 3\n  try     : copy it again");

        LockstepException heap =
                GangFailure.of(new RuntimeException(peer + "java.lang.OutOfMemoryError: Java heap space" + rest));
        assertThat(heap.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY);
        assertThat(heap.summary()).isEqualTo("rank 3 failed: java.lang.OutOfMemoryError: Java heap space");
    }

    @Test
    void heapExhaustionHasItsOwnCode() {
        assertThat(GangFailure.of(new RuntimeException(
                                "stage failed\njava.lang.OutOfMemoryError: Java heap space\n\tat x"))
                        .code())
                .isEqualTo(ErrorCode.OUT_OF_MEMORY);
    }

    @Test
    void ourOwnPassUnchanged() {
        LockstepException ours = LockstepException.report(ErrorCode.USAGE, "x").exception();
        assertThat(GangFailure.of(ours)).isSameAs(ours);
    }

    @Test
    void aMessageWithoutAnythingIsKept() {
        assertThat(GangFailure.of(new RuntimeException("Job 3 cancelled")).summary())
                .isEqualTo("a rank failed: Job 3 cancelled");
        assertThat(GangFailure.of(new RuntimeException()).summary()).isEqualTo("a rank failed: null");
    }
}
