package org.lockstep.spark.attempt;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.spark.SparkContext;
import org.lockstep.spark.failure.GangWatch;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.immutable.Map$;

/**
 * The executors of a run, between its attempts.
 *
 * <p>A process that died is gone for Spark within moments, and its cluster manager starts another. One that is frozen Spark
 * believes in until its heartbeat times out (spark.network.timeout, two minutes): it would get a task of the next attempt.
 * Confined to the run's thread.
 */
final class Executors {
    private static final Logger LOG = LoggerFactory.getLogger(Executors.class);
    private static final Duration NOTICE = Duration.ofSeconds(5);
    private static final Duration KILL = Duration.ofSeconds(30);

    private final SparkContext spark;
    private final Map<String, Integer> blame = new HashMap<>();
    private int most;

    Executors(SparkContext spark) {
        this.spark = spark;
    }

    /** Counts those that are there, for as many there shall be again. */
    void count() {
        if (!spark.isLocal() && !spark.isStopped()) {
            int all = (int) Stream.of(spark.statusTracker().getExecutorInfos()).count() - 1; // the driver is listed too
            most = Math.max(most, all);
        }
    }

    /**
     * Lets Spark notice that an executor is gone, or has one that it still believes in replaced: one that is silent, useless, or to
     * blame for the second time. One that has told how its tasks ended is neither: its peers lost a connection, not the process.
     *
     * @param useless whether its process can do no better
     */
    void recover(String executor, boolean useless, GangWatch watch) throws InterruptedException {
        boolean again = blame.merge(executor, 1, Integer::sum) > 1 || useless;
        boolean heard = watch.isHeard(executor);
        if (spark.isLocal() || (heard && !again) || (!heard && watch.awaitRemoval(executor, NOTICE))) {
            return;
        }
        LOG.warn(
                "executor {} is {}: asking Spark for another one",
                executor,
                useless ? "useless, its device lost" : heard ? "to blame again" : "silent");
        // A kill lowers the number that Spark wants, to nothing where none was ever asked for.
        if (!spark.killExecutor(executor) || !spark.requestTotalExecutors(most, 0, Map$.MODULE$.empty())) {
            LOG.warn("Spark does not replace executor {}", executor);
        } else if (!watch.awaitRemoval(executor, KILL)) {
            LOG.warn("executor {} does not end", executor);
        }
    }
}
