package org.lockstep.spark.failure;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.spark.ExecutorLostFailure;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkException;
import org.apache.spark.rdd.RDD;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerJobEnd;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.SparkListenerTaskStart;
import org.apache.spark.scheduler.StageInfo;
import org.apache.spark.storage.RDDInfo;
import org.apache.spark.util.CollectionAccumulator;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.WatchedTime;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * Hears on the driver what becomes of a gang, for Spark hands its caller the text of one of its tasks only: how each rank
 * failed, which executors were lost, who still runs.
 *
 * <p>A run begins a watch, and with each attempt a new gang; a stage that nobody watches has one {@link #inLog}.
 *
 * <pre>{@code
 * try (GangWatch watch = GangWatch.begin(context)) {
 *   JavaRDD<Row> answers = BarrierStage.over(rows).watchedBy(watch).mapRanks(task);
 *   answers.count();
 * } catch (Exception e) { throw watch.report(e).exception(); }
 * }</pre>
 *
 * <p>The ranks' stage is known by its RDD, whoever runs it; other jobs by a property of the thread that began the watch.
 * Thread-safe: Spark calls the listener's methods on a thread of its own, some milliseconds late.
 */
public final class GangWatch extends SparkListener implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(GangWatch.class);

    /** In the properties of a job: whose run it belongs to. */
    private static final String RUN = "lockstep.run";

    /** How long the ranks of a failed gang may take to hand over: they look at their tasks every 100 ms. */
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(3);

    /** Of a wait for what executors tell. */
    private static final Duration LONGEST_LOOK = Duration.ofMillis(500);

    private final SparkContext context;
    private final String run = UUID.randomUUID().toString();
    private final @Nullable String before;
    private final boolean logs;
    private final Set<Integer> jobs = new HashSet<>(); // that run
    private final Set<Stage> stages = new HashSet<>();
    private final Map<Long, Running> tasks = new HashMap<>(); // by Spark's number
    private final Set<String> removed = new HashSet<>(); // executors
    private final Map<String, String> lost = new HashMap<>(); // executors, and how
    private final Map<Stage, Gang> gangs = new HashMap<>(); // of this attempt: Spark may try a stage again
    private final Set<Stage> completed = new HashSet<>(); // of those that the log is told of
    private final Set<String> heard = new HashSet<>(); // executors that told how a task of this attempt ended
    private CollectionAccumulator<RankFailure> failures;
    private WeakReference<@Nullable RDD<?>> ranks = new WeakReference<>(null);
    private int rdd = -1; // of the ranks
    private @Nullable Gang last; // of this attempt
    private @Nullable Loss loss;

    private record Stage(int id, int attempt) {}

    private record Running(String executor, @Nullable Gang gang) {}

    private GangWatch(SparkContext context, boolean logs) {
        this.context = context;
        this.logs = logs;
        this.before = context.getLocalProperty(RUN);
        this.failures = RankFailure.accumulator(context);
    }

    /** Begins to listen: to the jobs that this thread starts, until it is closed, and to the ranks, whoever starts theirs. */
    public static GangWatch begin(SparkContext context) {
        GangWatch watch = new GangWatch(context, false);
        context.setLocalProperty(RUN, watch.run);
        context.addJobTag(watch.run);
        context.addSparkListener(watch);
        return watch;
    }

    /** For ranks that nobody watches: it writes to the log what they fail of, for as long as their RDD is there. */
    public static GangWatch inLog(SparkContext context) {
        return new GangWatch(context, true);
    }

    /** A new attempt begins: what was heard of the ranks before does not count. */
    public synchronized void next() {
        failures = RankFailure.accumulator(context);
        rdd = -1;
        last = null;
        loss = null;
        heard.clear();
        gangs.clear();
        stages.clear(); // what comes late of theirs is nobody's loss
    }

    /** Where the tasks of this attempt's ranks leave how they failed. */
    public synchronized CollectionAccumulator<RankFailure> failures() {
        return failures;
    }

    /** These are this attempt's ranks. */
    public synchronized void follow(RDD<?> made) {
        rdd = made.id();
        ranks = new WeakReference<>(made);
        if (logs) {
            context.addSparkListener(this);
        }
    }

    @Override
    public synchronized void onJobStart(SparkListenerJobStart job) {
        if (isOurs(job.properties())) {
            jobs.add(job.jobId());
        }
        if (logs && ranks.get() == null) {
            context.removeSparkListener(this);
        }
    }

    @Override
    public synchronized void onStageSubmitted(SparkListenerStageSubmitted submitted) {
        Stage stage = stage(submitted.stageInfo());
        if (isOfTheRanks(submitted.stageInfo())) {
            last = new Gang(failures.id());
            gangs.put(stage, last);
            stages.add(stage);
        } else if (isOurs(submitted.properties())) {
            stages.add(stage);
        }
    }

    private static Stage stage(StageInfo info) {
        return new Stage(info.stageId(), info.attemptNumber());
    }

    private boolean isOurs(@Nullable Properties properties) {
        return properties != null && run.equals(properties.getProperty(RUN));
    }

    /** By name: the accessor's result is another type of the Scala library in each of Spark's two Scala builds. */
    private boolean isOfTheRanks(StageInfo stage) {
        try {
            Object infos = StageInfo.class.getMethod("rddInfos").invoke(stage);
            Iterator<?> each = ((Iterable<?>) infos).iterator();
            boolean found = false;
            while (!found && each.hasNext()) {
                found = ((RDDInfo) each.next()).id() == rdd;
            }
            return found;
        } catch (ReflectiveOperationException absent) {
            throw new IllegalStateException("a Spark whose stages do not tell their RDDs", absent);
        }
    }

    @Override
    public synchronized void onTaskStart(SparkListenerTaskStart task) {
        Stage stage = new Stage(task.stageId(), task.stageAttemptId());
        Gang gang = gangs.get(stage);
        if (stages.contains(stage)) {
            tasks.put(task.taskInfo().taskId(), new Running(task.taskInfo().executorId(), gang));
        }
        if (gang != null) {
            gang.started(task.taskInfo());
        }
    }

    @Override
    public synchronized void onTaskEnd(SparkListenerTaskEnd task) {
        tasks.remove(task.taskInfo().taskId());
        Stage stage = new Stage(task.stageId(), task.stageAttemptId());
        if (stages.contains(stage)) {
            loss = loss == null ? Loss.of(task).orElse(null) : loss;
            if (task.reason() instanceof ExecutorLostFailure gone) {
                lost.put(gone.execId(), gone.toErrorString());
            } else {
                heard.add(task.taskInfo().executorId());
            }
        }
        Gang gang = gangs.get(stage);
        if (gang != null) {
            gang.ended(task);
        }
        notifyAll();
    }

    @Override
    public synchronized void onStageCompleted(SparkListenerStageCompleted end) {
        Stage stage = stage(end.stageInfo());
        Gang gang = gangs.get(stage);
        if (!logs || gang == null || !completed.add(stage)) { // Spark says it again when it gives the job up
            return;
        }
        if (end.stageInfo().failureReason().isEmpty()) {
            forget(stage);
        } else { // not a daemon: the driver may end of this failure, and shall say why
            String reason = end.stageInfo().failureReason().get();
            new Thread(() -> log(stage, gang, reason), "lockstep-report").start();
        }
    }

    private void log(Stage stage, Gang gang, String reason) {
        Gang.Heard all = hear(gang);
        forget(stage);
        if (all.isOwn() && !context.isStopped()) {
            FlightFiles files = FlightFiles.of(context, gang.name(), Optional.empty());
            LOG.error(
                    "the ranks of stage {}.{} failed",
                    stage.id(),
                    stage.attempt(),
                    GangReport.of(new SparkException(reason), all, files).exception());
        }
    }

    private synchronized void forget(Stage stage) {
        completed.remove(stage);
        stages.remove(stage);
        gangs.remove(stage);
    }

    @Override
    public synchronized void onJobEnd(SparkListenerJobEnd job) {
        jobs.remove(job.jobId());
        notifyAll();
    }

    @Override
    public synchronized void onExecutorRemoved(SparkListenerExecutorRemoved executor) {
        removed.add(executor.executorId());
        lost.putIfAbsent(executor.executorId(), executor.reason());
        notifyAll();
    }

    /** The first executor that was lost with a task of this attempt. */
    synchronized Optional<Loss> loss() {
        return Optional.ofNullable(loss);
    }

    /** Whether an executor has told how all its tasks of this attempt ended: the process lives, and the driver hears it. */
    public synchronized boolean isHeard(String executor) {
        return heard.contains(executor)
                && tasks.values().stream().noneMatch(task -> task.executor().equals(executor))
                && !removed.contains(executor);
    }

    /**
     * By executor, what a rank of this attempt told of a device that is lost to its process. Of ranks that failed Spark hands it to
     * listeners, also after their stage has ended; of those that had done their work it is counted when the stage is complete.
     */
    public synchronized Map<String, RankFailure> useless() {
        Map<String, RankFailure> all = new TreeMap<>();
        Stream.concat(gangs.values().stream().flatMap(Gang::told), failures.value().stream())
                .filter(RankFailure::isOfTheProcess)
                .forEach(each -> all.putIfAbsent(each.executor(), each));
        return all;
    }

    /** Executors where a rank of this attempt still runs. */
    public synchronized Set<String> busy() {
        return tasks.values().stream()
                .filter(task -> task.gang() != null && gangs.containsValue(task.gang()))
                .map(Running::executor)
                .filter(executor -> !removed.contains(executor))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** Cancels what runs of the run; where the thread that waits for a job is interrupted, Spark lets the job go on. */
    public void cancel() {
        try {
            if (!context.isStopped()) {
                context.cancelJobsWithTag(run); // also of a job whose start was not heard of yet
            }
        } catch (IllegalStateException stopped) { // in between: its jobs ended with it
            LOG.debug("the application was stopped", stopped);
        }
    }

    /** Waits until no job and no task of the run is left, as Spark knows it; whether that was within this time. */
    public boolean awaitEnd(Duration most) throws InterruptedException {
        return await(most.toNanos(), () -> jobs.isEmpty() && tasks.isEmpty());
    }

    /** Waits until no rank of this attempt runs any more; whether that was within this time. */
    public boolean awaitRanks(Duration most) throws InterruptedException {
        return await(most.toNanos(), () -> busy().isEmpty());
    }

    /** Waits until Spark has given an executor up; whether that was within this time. */
    public boolean awaitRemoval(String executor, Duration most) throws InterruptedException {
        return await(most.toNanos(), () -> removed.contains(executor));
    }

    private synchronized boolean await(long nanos, BooleanSupplier until) throws InterruptedException {
        WatchedTime waited = new WatchedTime(LONGEST_LOOK, System.nanoTime());
        while (!until.getAsBoolean()) {
            long left = nanos - waited.nanos(System.nanoTime());
            if (left <= 0 || context.isStopped()) {
                return until.getAsBoolean();
            }
            wait(Math.min(left / 1_000_000 + 1, 100)); // a stopped context says nothing
        }
        return true;
    }

    /** What was heard of the ranks, when all their tasks have ended or the patience has. */
    private synchronized Gang.Heard hear(@Nullable Gang gang) {
        if (gang == null) {
            return Gang.Heard.nothing();
        }
        try {
            await(PATIENCE_NANOS, () -> tasks.values().stream().noneMatch(task -> gang.equals(task.gang())));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // what is known by now has to do
        }
        return gang.heard(lost);
    }

    /** What this attempt failed of, by what its tasks have handed over; also written to a file. */
    public GangReport report(Throwable failure) {
        return report(failure, Optional.empty());
    }

    /**
     * The same.
     *
     * @param kept where the finished rows of the run are kept, if somebody named that: its record is best put beside them
     */
    public GangReport report(Throwable failure, Optional<String> kept) {
        Gang gang = gang();
        String name = gang == null ? run : gang.name();
        return GangReport.of(failure, hear(gang), FlightFiles.of(context, name, kept));
    }

    private synchronized @Nullable Gang gang() {
        return last;
    }

    @Override
    public void close() {
        context.setLocalProperty(RUN, before);
        context.removeJobTag(run);
        if (!context.isStopped()) {
            context.removeSparkListener(this);
        }
    }
}
