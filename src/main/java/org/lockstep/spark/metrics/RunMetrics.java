package org.lockstep.spark.metrics;

import com.codahale.metrics.Counter;
import com.codahale.metrics.MetricRegistry;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.scheduler.AccumulableInfo;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.lockstep.spark.GroupTraffic;
import org.lockstep.spark.RankReport;
import org.lockstep.spark.RunCounters;
import org.lockstep.topology.GroupKind;

/**
 * Sums over all runs of the application, from the accumulators of each stage that has ended, well or not. Written by the thread of
 * Spark's listeners, read by any.
 */
final class RunMetrics extends SparkListener {
    private final Map<String, Counter> counts = new LinkedHashMap<>();
    private final Map<GroupKind, Group> groups = new EnumMap<>(GroupKind.class);

    /** What went through all groups of a kind: one operation of a group counts once for each of its ranks. */
    private record Group(Counter operations, Counter bytes, Counter waitMillis) {}

    RunMetrics() {
        RunCounters.NAMES.values().forEach(name -> counts.put(name, new Counter()));
        for (GroupKind kind : RankReport.KINDS) {
            groups.put(kind, new Group(new Counter(), new Counter(), new Counter()));
        }
    }

    /** For example {@code outputTokens} and {@code tp.bytes}. */
    void register(MetricRegistry registry) {
        counts.forEach(registry::register);
        groups.forEach((kind, group) -> {
            registry.register(kind + ".operations", group.operations);
            registry.register(kind + ".bytes", group.bytes);
            registry.register(kind + ".waitMillis", group.waitMillis);
        });
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
            Optional.ofNullable(RunCounters.NAMES.get(name)).map(counts::get).ifPresent(counter -> counter.inc(sum));
        } else if (name.equals(RunCounters.REPORTS) && value instanceof List<?> reports) {
            reports.forEach(report -> count((RankReport) report));
        }
    }

    private void count(RankReport report) {
        for (GroupTraffic traffic : report.groups()) {
            Group group = groups.get(traffic.kind());
            if (group != null) {
                group.operations.inc(traffic.operations());
                group.bytes.inc(traffic.bytes());
                group.waitMillis.inc(traffic.nanos() / 1_000_000);
            }
        }
    }
}
