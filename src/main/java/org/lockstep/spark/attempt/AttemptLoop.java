package org.lockstep.spark.attempt;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.SparkContext;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.commit.CommitLog;
import org.lockstep.commit.KeptRun;
import org.lockstep.commit.Manifest;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.rows.KeptResults;
import org.lockstep.spark.settings.Settings;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A run on the driver: attempts, one after the other, each for the rows that are not done, until all are or another one would
 * be in vain.
 *
 * <p>Spark does not retry a barrier stage that a job ends with, so this does. What was done stays done in the
 * {@link CommitLog}; what comes from an attempt that is over does not count. Confined to the caller's thread.
 */
public final class AttemptLoop {
    private static final Logger LOG = LoggerFactory.getLogger(AttemptLoop.class);

    /** What tasks have to end when their stage has failed: the watchdog's second, and some for a busy machine. */
    private static final Duration RELEASE = Duration.ofSeconds(5);

    private final SparkContext spark;
    private final RunPolicy policy;
    private final RunDirectory directory;
    private final int rows;
    private final List<AttemptFailure> failures = new ArrayList<>();
    private boolean interrupted;
    private final Map<String, Integer> blame = new HashMap<>();

    /** One attempt: launches a stage and waits for it. */
    public interface Attempt<R> {
        /**
         * Runs it.
         *
         * @param kept what its tasks are told of the rows that are done
         * @param watch hears of its ranks
         * @param shrink how often the rows at once are to be halved
         */
        R run(KeptResults.Ticket kept, GangWatch watch, int number, int shrink);
    }

    /** What a run gave, and where its rows are committed. */
    public record Outcome<R>(R result, KeptRun kept) {}

    /** A run of so many rows; the policy is resolved. */
    public AttemptLoop(SparkContext spark, RunPolicy policy, RunDirectory directory, long rows) {
        if (rows > Integer.MAX_VALUE) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            String.format(Locale.ROOT, "%,d rows are more than one run holds: 2,147,483,647", rows))
                    .attempt("cut the input into several runs")
                    .exception();
        }
        this.spark = spark;
        this.policy = policy;
        this.directory = directory;
        this.rows = (int) rows;
    }

    /**
     * Runs attempts until one ends well.
     *
     * @throws LockstepException the reason, and what is kept ({@link UnfinishedRunException}) if anything is
     */
    public <R> Outcome<R> run(List<Manifest.Field> fields, Attempt<R> attempt) {
        try {
            return attempts(fields, attempt);
        } finally {
            if (interrupted) { // until now it would have broken the reading of what is kept
                Thread.currentThread().interrupt();
            }
        }
    }

    private <R> Outcome<R> attempts(List<Manifest.Field> fields, Attempt<R> attempt) {
        try (GangWatch watch = GangWatch.begin(spark);
                CommitLog log = CommitLog.open(
                        directory.place(),
                        new Manifest(rows, fields),
                        policy.resume().orElseThrow(),
                        owner(),
                        watch::cancel)) {
            int most = policy.attempts().orElseThrow();
            int shrink = 0;
            int forgiven = 0;
            while (true) {
                int before = log.committed();
                Optional<R> result = attempt(log, watch, attempt, shrink);
                if (result.isPresent()) {
                    log.finish();
                    return new Outcome<>(result.get(), log.kept());
                }
                AttemptFailure last = failures.get(failures.size() - 1);
                if (last.takenAway() && log.committed() > before) {
                    forgiven++; // it went on for as long as it was let; another that does as much brings the end closer
                }
                if (!last.retryable() || failures.size() - forgiven >= most || !recover(last, watch)) {
                    throw ended(log);
                }
                shrink += last.smaller() ? 1 : 0;
                LOG.warn("attempt {} of {} failed, another one begins: {}", failures.size(), most, last);
            }
        }
    }

    private String owner() {
        return "application " + spark.applicationId() + " (" + spark.appName() + "), process "
                + ProcessHandle.current().pid() + " on " + spark.getConf().get("spark.driver.host", "an unknown host");
    }

    private <R> Optional<R> attempt(CommitLog log, GangWatch watch, Attempt<R> attempt, int shrink) {
        watch.next();
        try {
            CommitLog.Attempt begun = log.begin();
            return Optional.of(
                    attempt.run(new KeptResults.Ticket(begun, directory.named()), watch, failures.size() + 1, shrink));
        } catch (Exception e) { // Spark's own are checked, and undeclared
            interrupted |= Thread.interrupted();
            AttemptFailure failure = told(e, watch);
            log.requireOurs();
            failures.add(failure);
            return Optional.empty();
        }
    }

    /** The failure, when all tasks of the attempt have ended or had the time to. */
    private AttemptFailure told(Exception thrown, GangWatch watch) {
        interrupted |= thrown instanceof InterruptedException;
        watch.cancel();
        long end = System.nanoTime() + RELEASE.toNanos();
        boolean ended = false;
        for (long left = RELEASE.toNanos(); !ended && left > 0; left = end - System.nanoTime()) {
            try {
                ended = watch.awaitEnd(Duration.ofNanos(left));
            } catch (InterruptedException e) {
                interrupted = true; // they commit what they have: worth the moment
            }
        }
        if (!ended) {
            LOG.warn("tasks of the failed attempt still run after {} s", RELEASE.toSeconds());
        }
        Optional<String> kept =
                directory.named() ? Optional.of(directory.place().location()) : Optional.empty();
        return AttemptFailure.of(spark, thrown, watch, kept);
    }

    /** Waits for the cluster to be whole again; whether another attempt may begin. */
    private boolean recover(AttemptFailure failure, GangWatch watch) {
        try {
            if (failure.executor().isPresent()) {
                Executors.recover(
                        spark,
                        failure.executor().get(),
                        failure.error().code() == ErrorCode.PEER_LOST,
                        blame.merge(failure.executor().get(), 1, Integer::sum),
                        watch);
            }
            return true;
        } catch (InterruptedException e) {
            interrupted = true;
            failures.add(AttemptFailure.ofCancelled(e));
            return false;
        }
    }

    /** The last failure, with all that were, what is kept and how to go on. */
    private LockstepException ended(CommitLog log) {
        LockstepException last = failures.get(failures.size() - 1).error();
        LockstepException.Report report = LockstepException.report(last);
        if (failures.size() > 1) {
            for (int i = 0; i < failures.size(); i++) {
                report = report.with("attempt", (i + 1) + ": " + failures.get(i));
            }
        }
        int committed = log.committed();
        if (committed == 0 && !directory.named()) {
            log.close();
            log.kept().discard();
            return failures.size() > 1 ? report.exception() : last;
        }
        report = report.kept(String.format(Locale.ROOT, "%,d of %,d rows, in %s", committed, rows, directory.place()))
                .with(
                        "resume",
                        "the same run with --checkpoint-dir " + directory.place() + " --resume ("
                                + Settings.CHECKPOINT_DIR.key() + ", " + Settings.RESUME.key() + "=true)");
        return new UnfinishedRunException(report, directory.place().toString(), committed, rows);
    }
}
