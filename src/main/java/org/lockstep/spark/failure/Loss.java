package org.lockstep.spark.failure;

import java.util.Optional;
import org.apache.spark.ExecutorLostFailure;
import org.apache.spark.FetchFailed;
import org.apache.spark.scheduler.SparkListenerTaskEnd;

/**
 * An executor that was lost with a task of ours, or with the rows that a task of ours was to read. Immutable.
 *
 * @param executor by Spark's name
 * @param host where it was
 * @param partition of the task that was lost
 * @param reason a line of Spark's
 * @param takenAway whether Spark says that it was not the application's doing: the executor was decommissioned, preempted or
 *     killed by the driver; Spark does not count that against its own limits either
 */
record Loss(String executor, String host, int partition, String reason, boolean takenAway) {

    /** Of a task that ended so, if it did. */
    static Optional<Loss> of(SparkListenerTaskEnd task) {
        int partition = task.taskInfo().index();
        if (task.reason() instanceof ExecutorLostFailure lost) {
            String reason = lost.reason().isDefined() ? lost.reason().get() : "Spark does not say why";
            return Optional.of(new Loss(
                    lost.execId(),
                    task.taskInfo().host(),
                    partition,
                    reason.lines().findFirst().orElse(reason),
                    !lost.exitCausedByApp()));
        }
        if (task.reason() instanceof FetchFailed fetch && fetch.bmAddress() != null) {
            return Optional.of(new Loss(
                    fetch.bmAddress().executorId(),
                    fetch.bmAddress().host(),
                    partition,
                    "the input rows that it held do not come",
                    false));
        }
        return Optional.empty();
    }

    String summary() {
        return "executor " + executor + " on " + host + " is lost: " + reason;
    }

    String culprit() {
        return "host " + host + "  executor " + executor + "  partition " + partition;
    }
}
