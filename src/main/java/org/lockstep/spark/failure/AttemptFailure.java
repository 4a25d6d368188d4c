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
 * @param retryable whether the reason may be gone at the next attempt: a lost executor or peer, a deadline
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

    /** The first word of what is said when memory ends while a model is loaded, where another attempt would be in vain. */
    public static final String LOADING = "loading";

    private static final Pattern CULPRIT = Pattern.compile("(?m)^ {2}culprit *: .*?\\bexecutor (\\S+)");
    private static final Pattern HOST = Pattern.compile("(?m)^ {2}culprit *: .*?\\bhost (\\S+)");

    /**
     * Of what the stage's job threw, and what was heard of its tasks.
     *
     * @param kept where the finished rows of the run are kept, if somebody named that
     */
    public static AttemptFailure of(SparkContext spark, Exception thrown, GangWatch watch, Optional<String> kept) {
        if (isCancelled(spark, thrown)) {
            return ofCancelled(thrown);
        }
        LockstepException error = watch.report(thrown, kept).exception();
        Optional<Loss> loss = watch.loss();
        boolean memory =
                error.code() == ErrorCode.OUT_OF_MEMORY && !error.summary().contains(LOADING);
        boolean outside = OUTSIDE.contains(error.code()) || (error.code() == ErrorCode.INTERNAL && loss.isPresent());
        if (loss.isPresent() && error.code() == ErrorCode.INTERNAL) {
            error = LockstepException.report(ErrorCode.PEER_LOST, loss.get().summary())
                    .culprit(loss.get().culprit())
                    .attempt("see the log of executor " + loss.get().executor())
                    .cause(thrown)
                    .exception();
        }
        String text = String.valueOf(error.getMessage());
        return new AttemptFailure(
                error,
                outside || memory,
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
                || spark.isStopped();
    }

    public static LockstepException cancelled(Throwable why) {
        return LockstepException.report(ErrorCode.CANCELLED, "cancelled")
                .cause(why)
                .exception();
    }

    /** Of a run that somebody ended. */
    public static AttemptFailure ofCancelled(Throwable why) {
        return new AttemptFailure(cancelled(why), false, false, false, Optional.empty(), Optional.empty());
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
