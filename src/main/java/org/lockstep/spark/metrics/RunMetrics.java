package org.lockstep.spark.metrics;

import com.codahale.metrics.MetricRegistry;
import java.util.List;
import java.util.stream.Stream;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.lockstep.spark.report.GroupTraffic;
import org.lockstep.spark.report.RankReport;
import org.lockstep.spark.report.RunCounters;

/**
 * Sums over all runs of the application, from the accumulators of each stage that has ended. Written by the thread of Spark's
 * listeners, read by any.
 *
 * <pre>
 * rowsDone  outputTokens  …                             of all ranks, see {@link RunCounters.Count}
 * replica0.rows  replica0.outputTokens                  of each replica
 * tp.operations  tp.bytes  tp.nanos                     of all groups of a kind: an operation counts once for each of its
 *                                                       ranks; bytes of the callers' buffers; nanoseconds inside
 *                                                       operations, waiting for peers included
 * </pre>
 */
final class RunMetrics extends SparkListener {
    private final MetricRegistry registry;

    /** In {@code registry}, which has all counts from now on; kinds of groups and replicas come with the first run that has them. */
    RunMetrics(MetricRegistry registry) {
        this.registry = registry;
        Stream.of(RunCounters.Count.values()).map(RunCounters.Count::metric).forEach(registry::counter);
    }

    @Override
    public void onStageCompleted(SparkListenerStageCompleted ended) {
        for (var all = ended.stageInfo().accumulables().valuesIterator(); all.hasNext(); ) {
            AccumulableInfo info = all.next();
            if (info.name().isDefined() && info.value().isDefined()) {
                count(info.name().get(), info.value().get());
            }
        }
    }

    private void count(String name, Object value) {
        if (value instanceof Long sum) {
            Stream.of(RunCounters.Count.values())
                    .filter(each -> each.words().equals(name))
                    .forEach(each -> add(each.metric(), sum));
        } else if (name.equals(RunCounters.REPORTS) && value instanceof List<?> reports) {
            reports.forEach(report -> count((RankReport) report));
        }
    }

    private void count(RankReport report) {
        if (report.latencies().rows() > 0) {
            add("replica" + report.replica() + ".rows", report.latencies().rows());
            add(
                    "replica" + report.replica() + ".outputTokens",
                    report.latencies().tokens());
        }
        for (GroupTraffic traffic : report.groups()) {
            add(traffic.kind().token() + ".operations", traffic.operations());
            add(traffic.kind().token() + ".bytes", traffic.bytes());
            add(traffic.kind().token() + ".nanos", traffic.nanos());
        }
    }

    private void add(String metric, long more) {
        registry.counter(metric).inc(more);
    }
}
