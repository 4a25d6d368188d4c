package org.lockstep.spark.metrics;

import com.codahale.metrics.MetricRegistry;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.apache.spark.scheduler.StageInfo;
import org.lockstep.spark.report.CollectiveTraffic;
import org.lockstep.spark.report.RankReport;
import org.lockstep.spark.report.RankReports;
import org.lockstep.spark.report.RunCounters;

/**
 * Sums over all runs of the application, from the accumulators of each stage that has ended. Written by the thread of Spark's
 * listeners, read by any.
 *
 * <pre>
 * rowsDone  outputTokens  …                             of all ranks, see {@link RunCounters.Count}
 * replica0.rows  replica0.outputTokens                  of each replica
 * tp.operations  tp.bytes  tp.nanos  tp.waitNanos       of all groups of a kind, see {@link CollectiveTraffic}
 * tp.all_reduce.operations  tp.all_reduce.bytes  …      of those by one operation
 * </pre>
 */
final class RunMetrics extends SparkListener {
    private final MetricRegistry registry;
    private final Set<Ended> counted = new HashSet<>(); // of the stages that had something to count

    private record Ended(int stage, int attempt) {}

    /** In {@code registry}, which has all counts from now on; kinds of groups and replicas come with the first run that has them. */
    RunMetrics(MetricRegistry registry) {
        this.registry = registry;
        Stream.of(RunCounters.Count.values()).map(RunCounters.Count::metric).forEach(registry::counter);
    }

    @Override
    public void onStageCompleted(SparkListenerStageCompleted ended) {
        StageInfo stage = ended.stageInfo();
        Ended which = new Ended(stage.stageId(), stage.attemptNumber());
        if (counted.contains(which)) {
            return; // of a stage that fails Spark says it again when it gives the job up
        }
        for (var all = stage.accumulables().valuesIterator(); all.hasNext(); ) {
            AccumulableInfo info = all.next();
            if (info.name().isDefined()
                    && info.value().isDefined()
                    && count(info.name().get(), info.value().get())) {
                counted.add(which);
            }
        }
    }

    /** Counts what an accumulator holds, if it is one of ours; whether it is. */
    private boolean count(String name, Object value) {
        if (name.equals(RunCounters.REPORTS) && value instanceof RankReports reports) {
            reports.ranks().forEach(this::count);
            CollectiveTraffic.of(reports.ranks()).forEach(this::count);
            return true;
        }
        Optional<RunCounters.Count> known = Stream.of(RunCounters.Count.values())
                .filter(each -> each.words().equals(name) && value instanceof Long)
                .findFirst();
        known.ifPresent(each -> add(each.metric(), (Long) value));
        return known.isPresent();
    }

    private void count(RankReport report) {
        if (report.latencies().rows() > 0) {
            add("replica" + report.replica() + ".rows", report.latencies().rows());
            add(
                    "replica" + report.replica() + ".outputTokens",
                    report.latencies().tokens());
        }
    }

    private void count(CollectiveTraffic traffic) {
        String kind = traffic.kind().token();
        for (String of : List.of(kind, kind + "." + traffic.operation())) {
            add(of + ".operations", traffic.operations());
            add(of + ".bytes", traffic.bytes());
            add(of + ".nanos", traffic.nanos());
            add(of + ".waitNanos", traffic.waitNanos());
        }
    }

    private void add(String metric, long more) {
        registry.counter(metric).inc(more);
    }
}
