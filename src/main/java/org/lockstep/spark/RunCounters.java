package org.lockstep.spark;

import java.io.Serializable;
import java.util.Map;
import org.apache.spark.SparkContext;
import org.apache.spark.util.CollectionAccumulator;
import org.apache.spark.util.LongAccumulator;

/**
 * What the ranks of a run count, as Spark accumulators: they show on the stage's page under these names, and reach the
 * driver while the stage runs.
 *
 * @param reports one of each rank that ended well
 */
public record RunCounters(
        LongAccumulator bytesLoaded,
        LongAccumulator rowsDone,
        LongAccumulator rowsFailed,
        LongAccumulator promptTokens,
        LongAccumulator cachedTokens,
        LongAccumulator outputTokens,
        LongAccumulator preemptions,
        CollectionAccumulator<RankReport> reports)
        implements Serializable {

    /** The name of each number in Spark, and among the metrics. */
    public static final Map<String, String> NAMES = Map.of(
            "Lockstep: bytes of weights loaded", "bytesLoaded",
            "Lockstep: rows done", "rowsDone",
            "Lockstep: rows with errors", "rowsFailed",
            "Lockstep: prompt tokens", "promptTokens",
            "Lockstep: prompt tokens found in the cache", "cachedTokens",
            "Lockstep: output tokens", "outputTokens",
            "Lockstep: preemptions", "preemptions");

    /** The name in Spark of the reports. */
    public static final String REPORTS = "Lockstep: ranks";

    static RunCounters register(SparkContext spark) {
        return new RunCounters(
                spark.longAccumulator("Lockstep: bytes of weights loaded"),
                spark.longAccumulator("Lockstep: rows done"),
                spark.longAccumulator("Lockstep: rows with errors"),
                spark.longAccumulator("Lockstep: prompt tokens"),
                spark.longAccumulator("Lockstep: prompt tokens found in the cache"),
                spark.longAccumulator("Lockstep: output tokens"),
                spark.longAccumulator("Lockstep: preemptions"),
                spark.collectionAccumulator(REPORTS));
    }
}
