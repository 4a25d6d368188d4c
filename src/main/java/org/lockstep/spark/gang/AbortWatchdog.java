package org.lockstep.spark.gang;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskKilledException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ends the ranks whose tasks Spark has killed, and those that are in an operation past its deadline.
 *
 * <p>Spark only sets a flag, unless the job asks for interrupts, and a thread in a collective does not look at flags, nor does
 * one whose code swallows interrupts. So this daemon thread, one for all tasks of a JVM and there as long as any is watched,
 * looks every 100 ms and aborts the rank's groups: the rank throws at its operation, its peers are told; one that is in no
 * operation, and so does not hear of that, is interrupted a moment later. Under a local master Spark does not even set the flag
 * when the application is stopped; that shows in the environment, which is another or none then.
 *
 * <p>The deadline of an operation is kept by the operation: whoever waits for a peer does so in short turns and looks at the
 * clock itself, and who waits says whom he waits for, which a watchdog could not. A second clock beside it would only race. But
 * an operation also runs code that is none of ours and takes no turns (what writes a user's object; a backend's native call),
 * and where all ranks are in such code no peer is left who would miss them. So the same look that sees the flags ends a rank
 * that is still in an operation some time after its deadline: its groups are aborted, its thread is interrupted.
 *
 * <p>Thread-safe.
 */
final class AbortWatchdog {
    private static final Logger LOG = LoggerFactory.getLogger(AbortWatchdog.class);
    private static final long POLL_MILLIS = 100;
    private static final long LEAVE_NANOS = 700_000_000L;
    private static final long LATE_NANOS = 5_000_000_000L;

    private final List<Watch> watched = new ArrayList<>();
    private boolean running;

    /** One task that is watched, until closed. */
    final class Watch implements AutoCloseable {
        private final TaskContext context;
        private final SparkEnv environment = SparkEnv.get();
        private final Thread task;
        private final Tenancy tenancy;
        private long killedAt; // 0 if it was not; these four belong to the watchdog's thread
        private boolean told;
        private boolean interrupted;
        private boolean late;
        private boolean closed; // guarded by this watch

        private Watch(TaskContext context, Thread task, Tenancy tenancy) {
            this.context = context;
            this.task = task;
            this.tenancy = tenancy;
        }

        /** Ends the watch. Idempotent. */
        @Override
        public void close() {
            synchronized (this) {
                closed = true;
            }
            forget(this);
        }

        /** Not after the task's end, when its thread may run another one. */
        private synchronized void interrupt(Thread thread) {
            if (!closed) {
                thread.interrupt();
            }
        }

        private void look() {
            boolean stopped = SparkEnv.get() != environment;
            if (!stopped && !context.isInterrupted()) {
                tenancy.expire().ifPresent(overdue -> {
                    LOG.warn("ended by the watchdog", overdue.failure());
                    interrupt(overdue.thread());
                });
                return;
            }
            if (killedAt == 0) {
                killedAt = System.nanoTime() | 1;
            }
            long since = System.nanoTime() - killedAt;
            if (!told) {
                told = tenancy.abort(
                        new TaskKilledException((stopped ? "the application was stopped under" : "Spark killed")
                                + " the task of partition " + context.partitionId()));
            }
            // Without a rank it waits for peers, of which Spark may have killed some without a word to it. With one it
            // has heard, and may just be writing what it has done; else it is in code that waits for something else.
            if (!interrupted && (!told || since > LEAVE_NANOS)) {
                interrupted = true;
                interrupt(task);
            }
            if (!late && since > LATE_NANOS) {
                late = true;
                LOG.warn(
                        "the task of partition {} was killed {} s ago and goes on in\n{}",
                        context.partitionId(),
                        LATE_NANOS / 1_000_000_000L,
                        Arrays.stream(task.getStackTrace())
                                .map(frame -> "  at " + frame)
                                .collect(Collectors.joining("\n")));
            }
        }
    }

    /** Watches the task that runs on this thread, and its time as a rank. */
    synchronized Watch watch(TaskContext context, Tenancy tenancy) {
        Watch watch = new Watch(context, Thread.currentThread(), tenancy);
        watched.add(watch);
        if (!running) {
            running = true;
            Thread thread = new Thread(this::run, "lockstep-watchdog");
            thread.setDaemon(true);
            thread.start();
        }
        return watch;
    }

    private synchronized void forget(Watch watch) {
        watched.remove(watch);
        notifyAll();
    }

    private void run() {
        for (List<Watch> now = next(); !now.isEmpty(); now = next()) {
            for (Watch watch : now) {
                try {
                    watch.look();
                } catch (RuntimeException | Error failure) { // of one task; the others are watched on
                    LOG.warn("a killed rank did not end in order", failure);
                }
            }
        }
    }

    /** Those to look at in the next round, after a pause; none if nobody is left. */
    private synchronized List<Watch> next() {
        long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(POLL_MILLIS);
        try {
            for (long left = until - System.nanoTime();
                    left > 0 && !watched.isEmpty();
                    left = until - System.nanoTime()) {
                TimeUnit.NANOSECONDS.timedWait(this, left);
            }
        } catch (InterruptedException e) {
            LOG.debug("interrupted by nobody of ours; the tasks still need their watch", e);
        }
        running = !watched.isEmpty();
        return List.copyOf(watched);
    }
}
