package org.lockstep.spark;

import java.time.Duration;
import org.apache.spark.SparkContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The executors between two attempts.
 *
 * <p>A process that died is gone for Spark within moments, and its cluster manager starts another. One that is frozen Spark
 * believes in until its heartbeat times out (spark.network.timeout, two minutes): it would get a task of the next attempt.
 */
final class Executors {
    private static final Logger LOG = LoggerFactory.getLogger(Executors.class);
    private static final Duration NOTICE = Duration.ofSeconds(10);
    private static final Duration KILL = Duration.ofSeconds(30);

    private Executors() {}

    /**
     * Lets Spark notice that an executor is gone, or asks it to end one that it still believes in.
     *
     * @param times how often it was to blame
     */
    static void recover(SparkContext spark, String executor, int times, TaskWatch tasks) throws InterruptedException {
        if (spark.isLocal() || tasks.awaitRemoval(executor, NOTICE)) {
            return;
        }
        if (times > 1) {
            LOG.warn("executor {} is to blame {} times: asking Spark to end it", executor, times);
            if (!spark.killExecutor(executor) || !tasks.awaitRemoval(executor, KILL)) {
                LOG.warn("Spark does not end executor {}", executor);
            }
        }
    }
}
