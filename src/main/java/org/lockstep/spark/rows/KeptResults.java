package org.lockstep.spark.rows;

import java.io.Serializable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.commit.AttemptLog;
import org.lockstep.commit.CommitLog;
import org.lockstep.commit.CommitWriter;
import org.lockstep.commit.CommittedRow;
import org.lockstep.spark.settings.Settings;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The finished rows of a run as one of its tasks uses them: reads what is there, and commits its own.
 *
 * <p>Where nobody named the directory, a task that does not see it or cannot write to it goes on without, and says so in its
 * log: a run that was not asked to keep anything does not fail for that. Confined to the task's thread.
 */
public final class KeptResults {
    private static final Logger LOG = LoggerFactory.getLogger(KeptResults.class);
    private static final Duration PATIENCE = Duration.ofMillis(300);

    private final boolean required;
    private @Nullable AttemptLog log;
    private @Nullable CommitWriter writer;

    /**
     * What a task is told of an attempt.
     *
     * @param required whether a task that cannot keep its rows fails
     */
    public record Ticket(CommitLog.Attempt attempt, boolean required) implements Serializable {}

    private KeptResults(boolean required, @Nullable AttemptLog log) {
        this.required = required;
        this.log = log;
    }

    /**
     * Of the task on this thread.
     *
     * @throws LockstepException COMMIT_FAILED if the named directory is not the driver's here; STALE_ATTEMPT
     */
    public static KeptResults open(Ticket ticket) {
        Optional<AttemptLog> log = join(ticket);
        if (log.isEmpty() && ticket.required()) {
            throw LockstepException.report(
                            ErrorCode.COMMIT_FAILED,
                            "executor " + SparkEnv.get().executorId() + " on "
                                    + SparkEnv.get()
                                            .blockManager()
                                            .blockManagerId()
                                            .host() + " does not see in "
                                    + ticket.attempt().place() + " what the driver wrote there")
                    .attempt(Settings.CHECKPOINT_DIR.key() + " on a file system that all executors share")
                    .exception();
        }
        if (log.isEmpty()) {
            LOG.warn(
                    "{} is not shared with the driver: rows done here are not kept",
                    ticket.attempt().place());
        }
        return new KeptResults(ticket.required(), log.orElse(null));
    }

    private static Optional<AttemptLog> join(Ticket ticket) {
        try {
            return AttemptLog.join(ticket.attempt());
        } catch (LockstepException e) {
            requireTolerable(ticket.required(), e);
            LOG.warn("{} cannot be read here", ticket.attempt().place(), e);
            return Optional.empty();
        }
    }

    /** The rows that are committed already, with ids from {@code from} to before {@code to}. */
    List<CommittedRow> rows(long from, long to) {
        AttemptLog mine = log;
        if (mine == null) {
            return List.of();
        }
        List<CommittedRow> rows = new ArrayList<>();
        tolerating(() -> rows.addAll(mine.rows(from, to)));
        return rows;
    }

    /** Keeps a finished row. */
    public void keep(CommittedRow row) {
        if (log == null) {
            return;
        }
        if (writer == null) {
            // A task that Spark starts again is another writer.
            writer = log.writer("t" + TaskContext.get().taskAttemptId());
        }
        CommitWriter mine = writer;
        tolerating(() -> mine.append(row));
    }

    /** All rows are done: those that are not committed yet are now. */
    public void finish() throws InterruptedException {
        CommitWriter mine = writer;
        if (mine == null) {
            return;
        }
        try {
            mine.finish();
        } catch (LockstepException e) {
            tolerating(() -> {
                throw e;
            });
        }
    }

    /** The task fails: what is done is committed, unless that takes long. */
    public void abandon() {
        if (writer != null) {
            writer.abandon(PATIENCE);
        }
    }

    /** Throws what a task must not go on after. */
    private static void requireTolerable(boolean required, LockstepException e) {
        if (required || e.code() != ErrorCode.COMMIT_FAILED) {
            throw e;
        }
    }

    private void tolerating(Runnable action) {
        try {
            action.run();
        } catch (LockstepException e) {
            requireTolerable(required, e);
            LOG.warn("rows done here are not kept any more", e);
            log = null;
            writer = null;
        }
    }
}
