package org.lockstep.spark.failure;

import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.spark.SparkContext;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Why an attempt failed, and whether another one may do better.
 *
 * @param error what is told
 * @param retryable whether the reason may be gone at the next attempt: a lost executor or peer, a deadline, a device that only
 *     another process can use again, where there can be one
 * @param smaller whether the next attempt should hold fewer rows at once
 * @param takenAway whether an executor was lost by no fault of the application: decommissioned, preempted, killed by the driver
 * @param executor who is to blame, by Spark's id, where that is known
 * @param host where it was
 */
public record AttemptFailure(
        LockstepException error,
        boolean retryable,
        boolean smaller,
        boolean takenAway,
        Optional<String> executor,
        Optional<String> host) {

    /** What comes from outside: processes, networks, clocks. All else would only fail again. */
    private static final Set<ErrorCode> OUTSIDE = Set.copyOf(EnumSet.of(
            ErrorCode.PEER_LOST,
            ErrorCode.COLLECTIVE_TIMEOUT,
            ErrorCode.ABORTED,
            ErrorCode.COMMUNICATOR_CLOSED,
            ErrorCode.PROTOCOL,
            ErrorCode.RENDEZVOUS_TIMEOUT,
            ErrorCode.RENDEZVOUS_FAILED,
            ErrorCode.STALE_ATTEMPT));

    /** What Spark says of a job that somebody ended; what a rank said comes in another sentence. */
    private static final Pattern CANCELLED =
            Pattern.compile("^(?:\\[SPARK_JOB_CANCELLED] )?Job \\S+ (?:was )?cancell?ed");

    /** What Spark says where its cluster manager ended the application: nobody cancelled it. */
    private static final Pattern TAKEN_DOWN = Pattern.compile(
            "Application has been killed|[Ee]xiting due to error from cluster scheduler|Master removed our"
                    + " application|All masters are unresponsive");

    private static final Pattern CULPRIT = Pattern.compile("(?m)^ {2}culprit *: .*?\\bexecutor (\\S+)");
    private static final Pattern HOST = Pattern.compile("(?m)^ {2}culprit *: .*?\\bhost (\\S+)");

    /**
     * Of what the stage's job threw, and what was heard of its tasks.
     *
     * @param kept where the finished rows of the run are kept, if somebody named that
     */
    public static AttemptFailure of(SparkContext spark, Throwable thrown, GangWatch watch, Optional<String> kept) {
        if (isCancelled(spark, thrown)) {
            return ofCancelled(thrown);
        }
        if (thrown instanceof Error ofTheDriver) { // Spark wraps what its tasks throw
            return ofTheDriver(ofTheDriver);
        }
        GangReport report = watch.report(thrown, kept);
        LockstepException error = report.exception();
        Optional<Loss> loss = watch.loss();
        if (loss.isPresent() && error.code() == ErrorCode.INTERNAL && !report.isToldByARank()) {
            error = LockstepException.report(ErrorCode.PEER_LOST, loss.get().summary())
                    .culprit(loss.get().culprit())
                    .attempt("see the log of executor " + loss.get().executor())
                    .cause(thrown)
                    .exception();
        }
        boolean memory = error.code() == ErrorCode.OUT_OF_MEMORY;
        boolean replaceable = error.code() == ErrorCode.DEVICE_LOST && !spark.isLocal();
        String text = String.valueOf(error.getMessage());
        return new AttemptFailure(
                error,
                OUTSIDE.contains(error.code()) || memory || replaceable,
                memory,
                loss.isPresent() && loss.get().takenAway(),
                loss.map(Loss::executor).or(() -> found(CULPRIT, text)),
                loss.map(Loss::host).or(() -> found(HOST, text)));
    }

    private static Optional<String> found(Pattern what, String text) {
        Matcher matcher = what.matcher(text);
        return matcher.find() ? Optional.of(matcher.group(1)) : Optional.empty();
    }

    /** Whether somebody ended the job, or the application, or interrupted the thread that waits for it. */
    public static boolean isCancelled(SparkContext spark, Throwable thrown) {
        return thrown instanceof InterruptedException
                || (thrown instanceof LockstepException ours && ours.code() == ErrorCode.CANCELLED)
                || CANCELLED.matcher(String.valueOf(thrown.getMessage())).find()
                || (spark.isStopped()
                        && !TAKEN_DOWN
                                .matcher(String.valueOf(thrown.getMessage()))
                                .find());
    }

    public static LockstepException cancelled(Throwable why) {
        return LockstepException.report(ErrorCode.CANCELLED, "cancelled")
                .cause(why)
                .exception();
    }

    private static AttemptFailure ofTheDriver(Error error) {
        ErrorCode code = GangFailure.codeOf(error.toString());
        return last(LockstepException.report(code, "the driver failed: " + error)
                .attempt(GangFailure.adviceOf(code))
                .cause(error)
                .exception());
    }

    /** Of a run that somebody ended. */
    public static AttemptFailure ofCancelled(Throwable why) {
        return last(cancelled(why));
    }

    /** Whether the executor that is to blame cannot do better, though its process lives. */
    public boolean isOfItsProcess() {
        return error.code() == ErrorCode.DEVICE_LOST;
    }

    /** This one where the driver's process has all ranks, and has lost a device: no attempt can do better. */
    public AttemptFailure endedBy(RankFailure lost) {
        return last(LockstepException.report(lost.code(), lost.summary())
                .culprit(lost.place())
                .attempt(lost.advice())
                .cause(error)
                .exception());
    }

    /** After which no attempt is to follow. */
    public static AttemptFailure last(LockstepException error) {
        return new AttemptFailure(error, false, false, false, Optional.empty(), Optional.empty());
    }

    /** One line. */
    @Override
    public String toString() {
        return error.code().label()
                + "  "
                + error.summary()
                + executor.map(id -> " (executor " + id
                                + host.map(where -> " on " + where).orElse("") + ")")
                        .orElse("");
    }
}
