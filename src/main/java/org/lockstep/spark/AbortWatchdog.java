package org.lockstep.spark;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskKilledException;

/**
 * Ends a rank whose task Spark has killed.
 *
 * <p>Spark only sets a flag, unless the job asks for interrupts, and a thread in a collective does not look at flags. So
 * this daemon thread looks every 100 ms, and aborts the rank's groups: the rank throws, its peers are told. Under a local
 * master it does not even set the flag when the application is stopped; that shows in the environment, which is another or
 * none then.
 */
final class AbortWatchdog implements AutoCloseable {
    private static final long POLL_MILLIS = 100;

    private final CountDownLatch closed = new CountDownLatch(1);

    private AbortWatchdog() {}

    /** Watches until closed; {@code abort} is called at most once, on the watchdog's thread. */
    static AbortWatchdog start(TaskContext context, Consumer<Throwable> abort) {
        AbortWatchdog watchdog = new AbortWatchdog();
        SparkEnv environment = SparkEnv.get();
        Thread thread = new Thread(() -> watchdog.watch(context, environment, abort), "lockstep-watchdog-" + context.partitionId());
        thread.setDaemon(true);
        thread.start();
        return watchdog;
    }

    private void watch(TaskContext context, SparkEnv environment, Consumer<Throwable> abort) {
        try {
            while (!closed.await(POLL_MILLIS, TimeUnit.MILLISECONDS)) {
                if (context.isInterrupted()) {
                    abort.accept(
                            new TaskKilledException("Spark killed the task of partition " + context.partitionId()));
                    return;
                }
                if (SparkEnv.get() != environment) {
                    abort.accept(new TaskKilledException("the application of partition " + context.partitionId()
                            + "'s task was stopped"));
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Ends the watch. Idempotent. */
    @Override
    public void close() {
        closed.countDown();
    }
}
