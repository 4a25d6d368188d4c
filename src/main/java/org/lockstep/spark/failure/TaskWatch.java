package org.lockstep.spark.failure;

import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import org.apache.spark.ExecutorLostFailure;
import org.apache.spark.FetchFailed;
import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerJobEnd;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.SparkListenerTaskStart;
import org.jspecify.annotations.Nullable;

/**
 * What Spark says of the tasks of one run's stages, and of the executors meanwhile. Thread-safe: Spark calls it on a thread of
 * its own, some milliseconds late.
 */
public final class TaskWatch extends SparkListener implements AutoCloseable {
    /** In the properties of our jobs: whose they are. */
    private static final String RUN = "lockstep.run";

    private final SparkContext spark;
    private final String run = UUID.randomUUID().toString();
    private final @Nullable String before;
    private final Set<Integer> jobs = new HashSet<>(); // that run
    private final Set<Integer> stages = new HashSet<>();
    private final Map<Long, String> tasks = new HashMap<>(); // that run, and in which executor
    private final Set<String> heard = new HashSet<>(); // executors that told how a task of the attempt ended
    private final Set<String> removed = new HashSet<>(); // executors
    private @Nullable Loss loss;

    /** An executor that was lost with a task of ours. */
    record Loss(String executor, String host, int partition, String reason) {
        String summary() {
            return "executor " + executor + " on " + host + " is lost: " + reason;
        }

        String culprit() {
            return "host " + host + "  executor " + executor + "  partition " + partition;
        }
    }

    private TaskWatch(SparkContext spark) {
        this.spark = spark;
        this.before = spark.getLocalProperty(RUN);
    }

    /** Watches the jobs that this thread starts until it is closed. */
    public static TaskWatch start(SparkContext spark) {
        TaskWatch watch = new TaskWatch(spark);
        spark.setLocalProperty(RUN, watch.run);
        spark.addSparkListener(watch);
        return watch;
    }

    @Override
    public synchronized void onJobStart(SparkListenerJobStart job) {
        if (isOurs(job.properties())) {
            jobs.add(job.jobId());
        }
    }

    @Override
    public synchronized void onStageSubmitted(SparkListenerStageSubmitted stage) {
        if (isOurs(stage.properties())) {
            stages.add(stage.stageInfo().stageId());
        }
    }

    private boolean isOurs(@Nullable Properties properties) {
        return properties != null && run.equals(properties.getProperty(RUN));
    }

    @Override
    public synchronized void onTaskStart(SparkListenerTaskStart task) {
        if (stages.contains(task.stageId())) {
            tasks.put(task.taskInfo().taskId(), task.taskInfo().executorId());
        }
    }

    @Override
    public synchronized void onTaskEnd(SparkListenerTaskEnd task) {
        tasks.remove(task.taskInfo().taskId());
        if (stages.contains(task.stageId())) {
            loss = loss == null ? loss(task) : loss;
            if (!(task.reason() instanceof ExecutorLostFailure)) {
                heard.add(task.taskInfo().executorId());
            }
        }
        notifyAll();
    }

    private static @Nullable Loss loss(SparkListenerTaskEnd task) {
        int partition = task.taskInfo().index();
        if (task.reason() instanceof ExecutorLostFailure lost) {
            String reason = lost.reason().isDefined() ? lost.reason().get() : "Spark does not say why";
            return new Loss(
                    lost.execId(),
                    task.taskInfo().host(),
                    partition,
                    reason.lines().findFirst().orElse(reason));
        }
        if (task.reason() instanceof FetchFailed fetch && fetch.bmAddress() != null) {
            return new Loss(
                    fetch.bmAddress().executorId(),
                    fetch.bmAddress().host(),
                    partition,
                    "the input rows that it held do not come");
        }
        return null;
    }

    @Override
    public synchronized void onJobEnd(SparkListenerJobEnd job) {
        jobs.remove(job.jobId());
        notifyAll();
    }

    @Override
    public synchronized void onExecutorRemoved(SparkListenerExecutorRemoved executor) {
        removed.add(executor.executorId());
        notifyAll();
    }

    /** The first executor that was lost with a task of the attempt. */
    synchronized Optional<Loss> loss() {
        return Optional.ofNullable(loss);
    }

    /** Whether an executor has told how all its tasks of the attempt ended: the process lives, and the driver hears it. */
    public synchronized boolean isHeard(String executor) {
        return heard.contains(executor) && !tasks.containsValue(executor) && !removed.contains(executor);
    }

    /** A new attempt begins. */
    public synchronized void forget() {
        loss = null;
        heard.clear();
    }

    /** Cancels what runs of the run; where the thread that waits for a job is interrupted, Spark lets the job go on. */
    public void cancel() {
        Set<Integer> running;
        synchronized (this) {
            running = Set.copyOf(jobs);
        }
        if (!spark.isStopped()) {
            running.forEach(spark::cancelJob);
        }
    }

    /** Waits until no job and no task of the run is left, as Spark knows it; whether that was within this time. */
    public boolean awaitEnd(Duration most) throws InterruptedException {
        return await(most, () -> jobs.isEmpty() && tasks.isEmpty());
    }

    /** Waits until Spark has given an executor up; whether that was within this time. */
    public boolean awaitRemoval(String executor, Duration most) throws InterruptedException {
        return await(most, () -> removed.contains(executor));
    }

    private synchronized boolean await(Duration most, BooleanSupplier until) throws InterruptedException {
        long end = System.nanoTime() + most.toNanos();
        while (!until.getAsBoolean()) {
            long left = end - System.nanoTime();
            if (left <= 0 || spark.isStopped()) {
                return until.getAsBoolean();
            }
            wait(Math.min(left / 1_000_000 + 1, 100)); // a stopped context says nothing
        }
        return true;
    }

    @Override
    public void close() {
        spark.setLocalProperty(RUN, before);
        spark.removeSparkListener(this);
    }
}
