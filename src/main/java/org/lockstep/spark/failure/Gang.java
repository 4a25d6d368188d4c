package org.lockstep.spark.failure;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;
import org.apache.spark.ExceptionFailure;
import org.apache.spark.Success$;
import org.apache.spark.TaskEndReason;
import org.apache.spark.TaskKilled;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.TaskInfo;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * What Spark said so far of the tasks of one gang: one attempt of the stage in which its ranks run. Guarded by the
 * {@link GangWatch} that tells it.
 */
final class Gang {
    private final String name = UUID.randomUUID().toString();
    private final long failures;
    private final Map<Integer, TaskInfo> byPartition = new HashMap<>();
    private final Set<Integer> returned = new HashSet<>(); // partitions
    private final List<RankFailure> told = new ArrayList<>();

    /**
     * Of which nothing was said.
     *
     * @param failures the accumulator in which its tasks leave how they failed, by Spark's number
     */
    Gang(long failures) {
        this.failures = failures;
    }

    /** What was heard of a gang. Immutable. */
    record Heard(
            List<RankFailure> failures, Map<Integer, String> places, Set<Integer> returned, Map<Integer, String> lost) {
        /** Of ranks that were never launched. */
        static Heard nothing() {
            return new Heard(List.of(), Map.of(), Set.of(), Map.of());
        }

        Heard {
            failures = List.copyOf(failures);
            places = Map.copyOf(places);
            returned = Set.copyOf(returned);
            lost = Map.copyOf(lost);
        }

        /** Whether it is a failure of the ranks or their executors, and not one of those who ended them. */
        boolean isOwn() {
            return !lost.isEmpty() || failures.stream().anyMatch(RankFailure::own);
        }
    }

    /** The gang's name, new for each. */
    String name() {
        return name;
    }

    void started(TaskInfo task) {
        byPartition.put(task.index(), task);
    }

    void ended(SparkListenerTaskEnd task) {
        TaskEndReason reason = task.reason();
        if (reason instanceof ExceptionFailure failure) {
            take(failure.productElement(5));
        } else if (reason instanceof Success$
                || (reason instanceof TaskKilled killed && !take(killed.productElement(1)))) {
            // also one that Spark killed when its function had returned: it has no failure to tell
            returned.add(task.taskInfo().index());
        }
    }

    /**
     * What its task has left; whether it has.
     *
     * <p>By position: the accessor's result is another type of the Scala library in each of Spark's two Scala
     * builds.
     */
    private boolean take(Object accumulables) {
        boolean any = false;
        Iterator<?> each = ((Iterable<?>) accumulables).iterator();
        while (each.hasNext()) {
            AccumulableInfo info = (AccumulableInfo) each.next();
            if (info.id() == failures && info.update().isDefined()) {
                for (Object failure : (List<?>) info.update().get()) {
                    any |= told.add((RankFailure) failure);
                }
            }
        }
        return any;
    }

    /** What ranks that failed have left. */
    Stream<RankFailure> told() {
        return told.stream();
    }

    /**
     * What was heard until now.
     *
     * @param lost executors, and how
     */
    Heard heard(Map<String, String> lost) {
        Map<Integer, String> places = new HashMap<>();
        Map<Integer, String> gone = new HashMap<>();
        byPartition.forEach((partition, task) -> {
            places.put(
                    partition,
                    "host " + task.host() + "  executor " + task.executorId() + "  task " + task.taskId()
                            + " (partition " + partition + ")");
            String how = lost.get(task.executorId());
            if (how != null) {
                gone.put(partition, how);
            }
        });
        return new Heard(told, places, returned, gone);
    }
}
