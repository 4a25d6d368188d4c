package org.lockstep.spark.metrics;

import java.util.Map;
import org.apache.spark.SparkContext;
import org.apache.spark.api.plugin.DriverPlugin;
import org.apache.spark.api.plugin.ExecutorPlugin;
import org.apache.spark.api.plugin.PluginContext;
import org.apache.spark.api.plugin.SparkPlugin;
import org.jspecify.annotations.Nullable;

/** {@code spark.plugins=org.lockstep.spark.metrics.LockstepPlugin}: what ranks did, among the metrics of Spark's driver. */
public final class LockstepPlugin implements SparkPlugin {
    @Override
    public DriverPlugin driverPlugin() {
        return new Driver();
    }

    /** None: the driver hears of all ranks. */
    @Override
    public @Nullable ExecutorPlugin executorPlugin() {
        return null;
    }

    private static final class Driver implements DriverPlugin {
        @Override
        public Map<String, String> init(SparkContext spark, PluginContext context) {
            spark.addSparkListener(new RunMetrics(context.metricRegistry()));
            return Map.of();
        }
    }
}
