package org.lockstep.spark.attempt;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import org.apache.spark.SparkContext;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.commit.CommitLog;
import org.lockstep.commit.KeptRun;
import org.lockstep.commit.Manifest;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.failure.GangWatch;
import org.lockstep.spark.failure.RankFailure;
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

    /** After which a rank that waits for its device has given it up, and said so. */
    private static final Duration GIVEN_UP = Duration.ofSeconds(45);

    private final SparkContext spark;
    private final RunPolicy policy;
    private final RunDirectory directory;
    private final int rows;
    private final List<AttemptFailure> failures = new ArrayList<>();
    private boolean interrupted;
    private final Executors executors;

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
        this.executors = new Executors(spark);
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
            int before = log.committed();
            while (true) {
                Optional<R> result = attempt(log, watch, attempt, shrink);
                if (result.isPresent()) {
                    finish(log);
                    watch.useless().values().forEach(this::warn);
                    return new Outcome<>(result.get(), log.kept());
                }
                AttemptFailure last = last();
                int now = committed(log).orElse(before);
                if (last.takenAway() && now > before) {
                    forgiven++; // it went on for as long as it was let; another that does as much brings the end closer
                }
                before = now;
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

    private AttemptFailure last() {
        return failures.get(failures.size() - 1);
    }

    /** All rows have their answers; that the directory does not say so must not take them away. */
    private static void finish(CommitLog log) {
        try {
            log.finish();
        } catch (LockstepException e) {
            LOG.warn("the run is complete, but a later one will be told that it is not", e);
        }
    }

    /** It has its part of the answers, and so is not replaced now: the next run fails on it, at once, and then has that done. */
    private void warn(RankFailure lost) {
        LOG.warn(
                "{}\n  who     : {}\n  kept    : all rows\n  try     : {}; {}",
                lost.summary(),
                lost.place(),
                spark.isLocal()
                        ? "another process for the next run"
                        : "read or save the answers before the next run: it has this executor replaced, which holds some",
                lost.advice());
    }

    /** How many rows are committed, if that can be read: what cannot must not take the place of the failure. */
    private OptionalInt committed(CommitLog log) {
        try {
            return OptionalInt.of(log.committed());
        } catch (LockstepException unreadable) {
            last().error().addSuppressed(unreadable);
            return OptionalInt.empty();
        }
    }

    private <R> Optional<R> attempt(CommitLog log, GangWatch watch, Attempt<R> attempt, int shrink) {
        try {
            executors.count();
            watch.next();
            CommitLog.Attempt begun = log.begin();
            return Optional.of(
                    attempt.run(new KeptResults.Ticket(begun, directory.named()), watch, failures.size() + 1, shrink));
        } catch (Throwable e) { // Spark's own are checked, and undeclared; after an error too it is told what is kept
            failures.add(told(e, log, watch));
            return Optional.empty();
        }
    }

    /** The failure, when all tasks of the attempt have ended or had the time to. */
    private AttemptFailure told(Throwable thrown, CommitLog log, GangWatch watch) {
        interrupted |= Thread.interrupted() || thrown instanceof InterruptedException;
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
        Optional<LockstepException.Report> taken = log.taken();
        if (taken.isPresent()) {
            return AttemptFailure.last(taken.get().cause(thrown).exception());
        }
        if (interrupted) { // whatever the attempt then failed of, nobody wants another
            return AttemptFailure.ofCancelled(thrown);
        }
        Optional<String> kept =
                directory.named() ? Optional.of(directory.place().location()) : Optional.empty();
        return AttemptFailure.of(spark, thrown, watch, kept);
    }

    /** Waits for the cluster to be whole again; whether another attempt may begin. */
    private boolean recover(AttemptFailure failure, GangWatch watch) {
        try {
            if (failure.executor().isPresent()) {
                executors.recover(failure.executor().get(), failure.isOfItsProcess(), watch);
            }
            return replaceUseless(failure, watch);
        } catch (InterruptedException e) {
            interrupted = true;
            failures.add(AttemptFailure.ofCancelled(e));
            return false;
        } catch (RuntimeException e) { // of a scheduler that cannot be asked; the next attempt shows what there is
            failure.error().addSuppressed(e);
            return true;
        }
    }

    /**
     * Has executors replaced to which a device is lost: a rank that ends waits for its device before it says so. And those that do not
     * even come to say it, for the next attempt would wait for their slots.
     */
    private boolean replaceUseless(AttemptFailure failure, GangWatch watch) throws InterruptedException {
        Set<String> held = watch.awaitRanks(GIVEN_UP) ? Set.of() : watch.busy();
        Map<String, RankFailure> useless = watch.useless();
        if (spark.isLocal() && !useless.isEmpty()) {
            failures.set(
                    failures.size() - 1,
                    failure.endedBy(useless.values().iterator().next()));
            return false;
        }
        for (Map.Entry<String, RankFailure> each : useless.entrySet()) {
            LOG.warn("executor {}: {}", each.getKey(), each.getValue().summary());
            executors.recover(each.getKey(), true, watch);
        }
        for (String each : held) {
            LOG.warn("executor {}: a rank of the failed attempt does not end", each);
            executors.recover(each, false, watch);
        }
        return true;
    }

    /** The last failure, with all that were, what is kept and how to go on. */
    private LockstepException ended(CommitLog log) {
        LockstepException last = last().error();
        if (last.code() == ErrorCode.COMMIT_IN_USE) { // what is kept is the other run's now
            return last;
        }
        LockstepException.Report report = LockstepException.report(last);
        if (failures.size() > 1) {
            for (int i = 0; i < failures.size(); i++) {
                report = report.with("attempt", (i + 1) + ": " + failures.get(i));
            }
        }
        OptionalInt committed = committed(log);
        if (committed.equals(OptionalInt.of(0)) && !directory.named()) {
            discard(log);
            return failures.size() > 1 ? report.exception() : last;
        }
        String how = committed.isPresent()
                ? String.format(Locale.ROOT, "%,d of %,d rows", committed.getAsInt(), rows)
                : "rows that cannot be counted now";
        report = report.kept(how + ", in " + directory.place())
                .with(
                        "resume",
                        "the same run with --checkpoint-dir " + directory.place() + " --resume ("
                                + Settings.CHECKPOINT_DIR.key() + ", " + Settings.RESUME.key() + "=true)");
        return new UnfinishedRunException(report, directory.place().toString(), committed.orElse(-1), rows);
    }

    private void discard(CommitLog log) {
        try {
            log.close();
            log.kept().discard();
        } catch (LockstepException e) {
            last().error().addSuppressed(e);
        }
    }
}
