package org.lockstep.spark.report;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorMetricsUpdate;
import scala.Tuple4;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * Turns the accumulator values in the executors' heartbeats into {@link Progress}. Called on Spark's listener thread.
 */
public final class ProgressListener extends SparkListener {
    private final RunCounters counters;
    private final long rows;
    private final long bytesToLoad;
    private final long start;
    private final Consumer<Progress> consumer;

    /** By accumulator, by task: the value so far. */
    private final Map<Long, Map<Long, Long>> values = new HashMap<>();

    public ProgressListener(
            RunCounters counters, long rows, long bytesToLoad, long start, Consumer<Progress> consumer) {
        this.counters = counters;
        this.rows = rows;
        this.bytesToLoad = bytesToLoad;
        this.start = start;
        this.consumer = consumer;
    }

    @Override
    public void onExecutorMetricsUpdate(SparkListenerExecutorMetricsUpdate update) {
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
        if (ours) {
            consumer.accept(new Progress(
                    sum(counters.bytesLoaded().id()),
                    bytesToLoad,
                    rows,
                    sum(counters.rowsDone().id()),
                    sum(counters.promptTokens().id()),
                    sum(counters.outputTokens().id()),
                    Duration.ofNanos(System.nanoTime() - start)));
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
