package org.lockstep.commit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Commits the rows of one rank, in the background, so that no step waits for a disk.
 *
 * <p>Rows are put down together: after a second at first, later after a hundredth of the time since the first row, at most a
 * minute, and whenever there is a mebibyte of them. So a rank that is killed loses little, and a run of days leaves some
 * hundreds of files, not millions. Thread-safe.
 */
public final class CommitWriter {
    private static final long SOONEST = 1_000_000_000L;
    private static final long LATEST = 60 * SOONEST;
    private static final int PART = 100;
    private static final int FULL = 1 << 20; // characters

    private final AttemptLog log;
    private final String name;
    private final List<CommittedRow> pending = new ArrayList<>();
    private long weight;
    private long oldest; // on the clock of System.nanoTime
    private long start;
    private int sequence;
    private boolean ending;
    private @Nullable Thread thread;
    private @Nullable RuntimeException failure;

    CommitWriter(AttemptLog log, String name) {
        this.log = log;
        this.name = name;
    }

    /**
     * Takes a finished row; it is committed soon.
     *
     * @throws LockstepException what went wrong with earlier ones: COMMIT_FAILED or STALE_ATTEMPT
     */
    public synchronized void append(CommittedRow row) {
        requireWell();
        if (ending) {
            throw new IllegalStateException("the writer of " + log + " has ended");
        }
        if (pending.isEmpty()) {
            oldest = System.nanoTime();
        }
        pending.add(row);
        weight += row.weight();
        if (thread == null) {
            start = oldest;
            thread = new Thread(this::work, "lockstep-commit-" + name);
            thread.setDaemon(true);
            thread.start();
        }
        if (weight >= FULL) {
            notifyAll();
        }
    }

    private void requireWell() {
        if (failure != null) {
            throw failure;
        }
    }

    private void work() {
        try {
            for (List<CommittedRow> batch = next(); !batch.isEmpty(); batch = next()) {
                log.commit(name, sequence++, batch);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            fail(e);
        } catch (Error e) { // who finishes must hear of it, or rows would be missing in silence
            fail(LockstepException.report(ErrorCode.INTERNAL, "rows cannot be committed to " + log + ": " + e)
                    .cause(e)
                    .exception());
        }
    }

    private synchronized void fail(RuntimeException e) {
        failure = e;
        notifyAll();
    }

    /** What is to be committed next; none at the end. */
    private synchronized List<CommittedRow> next() throws InterruptedException {
        while (!ending && weight < FULL) {
            long now = System.nanoTime();
            long patience = Math.min(LATEST, Math.max(SOONEST, (now - start) / PART));
            long left = pending.isEmpty() ? patience : oldest + patience - now;
            if (left <= 0) {
                break;
            }
            wait(left / 1_000_000 + 1);
        }
        List<CommittedRow> batch = List.copyOf(pending);
        pending.clear();
        weight = 0;
        return batch;
    }

    /**
     * Commits what is left.
     *
     * @throws LockstepException COMMIT_FAILED or STALE_ATTEMPT
     */
    public void finish() throws InterruptedException {
        Thread last = end();
        if (last != null) {
            last.join();
        }
        synchronized (this) {
            requireWell();
        }
    }

    /**
     * Commits what is left as far as that is possible within some time; a rank that fails must not wait for a disk. What is
     * not on it by then still comes there, if the process lives and no later attempt has begun. An interrupt ends no rank sooner:
     * it is how Spark ends one whose job is cancelled, and its rows are worth the moment.
     */
    public void abandon(Duration patience) {
        Thread last = end();
        boolean interrupted = Thread.interrupted();
        long end = System.nanoTime() + patience.toNanos();
        for (long left = patience.toNanos();
                last != null && last.isAlive() && left > 0;
                left = end - System.nanoTime()) {
            try {
                TimeUnit.NANOSECONDS.timedJoin(last, left);
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized @Nullable Thread end() {
        ending = true;
        notifyAll();
        return thread;
    }
}
