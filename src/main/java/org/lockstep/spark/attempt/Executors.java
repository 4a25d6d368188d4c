package org.lockstep.spark.attempt;

import java.time.Duration;
import java.util.stream.Stream;
import org.apache.spark.SparkContext;
import org.lockstep.spark.failure.GangWatch;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.immutable.Map$;

/**
 * The executors between two attempts.
 *
 * <p>A process that died is gone for Spark within moments, and its cluster manager starts another. One that is frozen Spark
 * believes in until its heartbeat times out (spark.network.timeout, two minutes): it would get a task of the next attempt.
 */
final class Executors {
    private static final Logger LOG = LoggerFactory.getLogger(Executors.class);
    private static final Duration NOTICE = Duration.ofSeconds(5);
    private static final Duration KILL = Duration.ofSeconds(30);

    private Executors() {}

    /**
     * Lets Spark notice that an executor is gone, or has one that it still believes in replaced. One that has told how its
     * tasks ended is neither: its peers lost a connection, not the process.
     *
     * @param lost whether its peers hear nothing of it any more
     * @param times how often it was to blame
     */
    static void recover(SparkContext spark, String executor, boolean lost, int times, GangWatch watch)
            throws InterruptedException {
        boolean again = times > 1;
        boolean heard = watch.isHeard(executor);
        if (spark.isLocal()
                || (heard && !again)
                || (!heard && watch.awaitRemoval(executor, NOTICE))
                || !(lost || again)) {
            return;
        }
        int all = (int) Stream.of(spark.statusTracker().getExecutorInfos()).count() - 1; // the driver is listed too
        LOG.warn("executor {} is {}: asking Spark for another one", executor, heard ? "to blame again" : "silent");
        // A kill lowers the number that Spark wants, to nothing where none was ever asked for.
        if (!spark.killExecutor(executor) || !spark.requestTotalExecutors(all, 0, Map$.MODULE$.empty())) {
            LOG.warn("Spark does not replace executor {}", executor);
        } else if (!watch.awaitRemoval(executor, KILL)) {
            LOG.warn("executor {} does not end", executor);
        }
    }
}
