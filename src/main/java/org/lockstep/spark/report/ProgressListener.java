package org.lockstep.spark.report;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorMetricsUpdate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Tuple4;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * Turns the accumulator values in the executors' heartbeats into {@link Progress}, and tells how a stage begins and ends, so that
 * something is told of one that is shorter than a heartbeat. Thread-safe: Spark calls it on its listener thread. What the consumer
 * throws goes to the log, and not into the run.
 */
public final class ProgressListener extends SparkListener {
    private static final Logger LOG = LoggerFactory.getLogger(ProgressListener.class);

    private final RunCounters counters;
    private final Goal goal;
    private final long start;
    private final Consumer<Progress> consumer;
    private boolean ended;

    /** By accumulator, by task: the value so far. */
    private final Map<Long, Map<Long, Long>> values = new HashMap<>();

    /** What a stage has to do: rows, bytes of weights, over so many replicas. */
    public record Goal(long rows, long bytesToLoad, int replicas) {}

    /**
     * Of a stage of this goal.
     *
     * @param start of the call, by {@link System#nanoTime}
     */
    public ProgressListener(RunCounters counters, Goal goal, long start, Consumer<Progress> consumer) {
        this.counters = counters;
        this.goal = goal;
        this.start = start;
        this.consumer = consumer;
    }

    /** The stage is about to begin. */
    public synchronized void begin() {
        tell(0, 0, 0, 0, 0);
    }

    /** The stage has ended well: the last that is told. */
    public synchronized void end() {
        ended = true;
        tell(
                counters.bytesLoaded().value(),
                counters.rowsDone().value(),
                counters.promptTokens().value(),
                counters.outputTokens().value(),
                goal.replicas);
    }

    @Override
    public synchronized void onExecutorMetricsUpdate(SparkListenerExecutorMetricsUpdate update) {
        // By position: the accessor's result is another type of the Scala library in each of Spark's two Scala builds.
        Iterator<?> tasks = ((Iterable<?>) update.productElement(1)).iterator();
        boolean ours = false;
        while (tasks.hasNext()) {
            Tuple4<?, ?, ?, ?> task = (Tuple4<?, ?, ?, ?>) tasks.next();
            Iterator<?> infos = ((Iterable<?>) task._4()).iterator();
            while (infos.hasNext()) {
                AccumulableInfo info = (AccumulableInfo) infos.next();
                if (isOurs(info.id()) && info.update().isDefined()) {
                    ours = true;
                    values.computeIfAbsent(info.id(), id -> new HashMap<>())
                            .put((Long) task._1(), ((Number) info.update().get()).longValue());
                }
            }
        }
        if (ours && !ended) {
            Map<Long, Long> tokens = values.getOrDefault(counters.outputTokens().id(), Map.of());
            tell(
                    sum(counters.bytesLoaded().id()),
                    sum(counters.rowsDone().id()),
                    sum(counters.promptTokens().id()),
                    sum(counters.outputTokens().id()),
                    (int) tokens.values().stream()
                            .filter(some -> some > 0)
                            .count()); // each replica's source counts them
        }
    }

    private void tell(long bytesLoaded, long rowsDone, long promptTokens, long outputTokens, int replicas) {
        try {
            consumer.accept(new Progress(
                    bytesLoaded,
                    goal.bytesToLoad,
                    goal.rows,
                    rowsDone,
                    promptTokens,
                    outputTokens,
                    goal.replicas,
                    replicas,
                    Duration.ofNanos(System.nanoTime() - start)));
        } catch (RuntimeException e) {
            LOG.warn("progress is not shown: its consumer fails", e);
        }
    }

    private boolean isOurs(long id) {
        return id == counters.bytesLoaded().id()
                || id == counters.rowsDone().id()
                || id == counters.promptTokens().id()
                || id == counters.outputTokens().id();
    }

    private long sum(long accumulator) {
        return values.getOrDefault(accumulator, Map.of()).values().stream()
                .mapToLong(Long::longValue)
                .sum();
    }
}
