package org.lockstep.spark.failure;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.spark.ExceptionFailure;
import org.apache.spark.ExecutorLostFailure;
import org.apache.spark.SparkContext;
import org.apache.spark.Success$;
import org.apache.spark.TaskEndReason;
import org.apache.spark.TaskKilled;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.SparkListenerTaskStart;
import org.apache.spark.scheduler.TaskInfo;
import org.apache.spark.util.CollectionAccumulator;
import org.jspecify.annotations.Nullable;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * Hears on the driver how the tasks of one attempt end, for Spark hands its caller the text of one of them only.
 *
 * <pre>{@code
 * try (GangWatch watch = GangWatch.begin(context)) {
 *   JavaRDD<Row> answers = BarrierStage.over(rows).watchedBy(watch).mapRanks(task);
 *   answers.count();
 * } catch (Exception e) { throw watch.report(e).exception(); }
 * }</pre>
 *
 * <p>The job must be started by the thread that began the watch, while it lasts. The listener's methods are called by Spark's
 * thread; thread-safe.
 */
public final class GangWatch extends SparkListener implements AutoCloseable {
    /** In the properties of a job: whose watch it belongs to. */
    private static final String KEY = "lockstep.attempt";

    /** How long the ranks of a failed attempt may take to hand over: they look at their tasks every 100 ms. */
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(3);

    private final SparkContext context;
    private final String name = UUID.randomUUID().toString();
    private final @Nullable String before;
    private final CollectionAccumulator<RankFailure> failures;
    private final Set<Integer> stages = new HashSet<>();
    private final Map<Long, TaskInfo> running = new HashMap<>(); // by Spark's id
    private final Map<Integer, TaskInfo> byPartition = new HashMap<>();
    private final Set<Integer> returned = new HashSet<>(); // partitions
    private final List<RankFailure> heard = new ArrayList<>();
    private final Map<String, String> lost = new HashMap<>(); // by executor: how

    private GangWatch(SparkContext context) {
        this.context = context;
        this.failures = RankFailure.accumulator(context);
        this.before = context.getLocalProperty(KEY);
    }

    /** Begins to listen to the jobs that this thread starts. */
    public static GangWatch begin(SparkContext context) {
        GangWatch watch = new GangWatch(context);
        context.setLocalProperty(KEY, watch.name);
        context.addSparkListener(watch);
        return watch;
    }

    /** Where the tasks leave how they failed. */
    public CollectionAccumulator<RankFailure> failures() {
        return failures;
    }

    /** The attempt's name, new for each. */
    String name() {
        return name;
    }

    @Override
    public synchronized void onStageSubmitted(SparkListenerStageSubmitted stage) {
        if (stage.properties() != null && name.equals(stage.properties().getProperty(KEY))) {
            stages.add(stage.stageInfo().stageId());
        }
    }

    @Override
    public synchronized void onTaskStart(SparkListenerTaskStart task) {
        if (stages.contains(task.stageId())) {
            running.put(task.taskInfo().taskId(), task.taskInfo());
            byPartition.put(task.taskInfo().index(), task.taskInfo());
        }
    }

    @Override
    public synchronized void onTaskEnd(SparkListenerTaskEnd task) {
        if (!stages.contains(task.stageId())) {
            return;
        }
        TaskEndReason reason = task.reason();
        if (reason instanceof ExceptionFailure failure) {
            take(failure.productElement(5));
        } else if (reason instanceof TaskKilled killed) {
            take(killed.productElement(1));
        } else if (reason instanceof ExecutorLostFailure gone) {
            lost.put(gone.execId(), gone.toErrorString());
        } else if (reason instanceof Success$) {
            returned.add(task.taskInfo().index());
        }
        running.remove(task.taskInfo().taskId());
        notifyAll();
    }

    /** By position: the accessor's result is another type of the Scala library in each of Spark's two Scala builds. */
    private void take(Object accumulables) {
        Iterator<?> each = ((Iterable<?>) accumulables).iterator();
        while (each.hasNext()) {
            AccumulableInfo info = (AccumulableInfo) each.next();
            if (info.id() == failures.id() && info.update().isDefined()) {
                for (Object failure : (List<?>) info.update().get()) {
                    heard.add((RankFailure) failure);
                }
            }
        }
    }

    @Override
    public synchronized void onExecutorRemoved(SparkListenerExecutorRemoved executor) {
        lost.putIfAbsent(executor.executorId(), executor.reason());
        notifyAll();
    }

    /** What was heard of an attempt. Immutable. */
    record Heard(
            List<RankFailure> failures, Map<Integer, String> places, Set<Integer> returned, Map<Integer, String> lost) {
        Heard {
            failures = List.copyOf(failures);
            places = Map.copyOf(places);
            returned = Set.copyOf(returned);
            lost = Map.copyOf(lost);
        }
    }

    /** What was heard, when all tasks have ended or the patience has. */
    synchronized Heard hear() {
        long deadline = System.nanoTime() + PATIENCE_NANOS;
        try {
            for (long left = PATIENCE_NANOS;
                    left > 0 && !running.isEmpty() && !context.isStopped();
                    left = deadline - System.nanoTime()) {
                TimeUnit.NANOSECONDS.timedWait(this, left);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // what is known by now has to do
        }
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
        return new Heard(heard, places, returned, gone);
    }

    /** What the attempt failed of, by what its tasks have handed over; also written to a file. */
    public GangReport report(Throwable failure) {
        return report(failure, Optional.empty());
    }

    /**
     * The same.
     *
     * @param kept where the finished rows of the run are kept, if somebody named that: its record is best put beside them
     */
    public GangReport report(Throwable failure, Optional<String> kept) {
        return GangReport.of(failure, hear(), FlightFiles.of(context, name, kept));
    }

    @Override
    public void close() {
        context.setLocalProperty(KEY, before);
        if (!context.isStopped()) {
            context.removeSparkListener(this);
        }
    }
}
