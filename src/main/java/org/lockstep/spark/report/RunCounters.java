package org.lockstep.spark.report;

import java.io.Serializable;
import org.apache.spark.SparkContext;
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
        ReportAccumulator reports)
        implements Serializable {

    /** The name in Spark of the reports. */
    public static final String REPORTS = "Lockstep: ranks";

    /** What is counted. */
    public enum Count {
        BYTES_LOADED("bytesLoaded", "Lockstep: bytes of weights loaded"),
        ROWS_DONE("rowsDone", "Lockstep: rows done"),
        ROWS_FAILED("rowsFailed", "Lockstep: rows with errors"),
        PROMPT_TOKENS("promptTokens", "Lockstep: prompt tokens"),
        CACHED_TOKENS("cachedTokens", "Lockstep: prompt tokens found in the cache"),
        OUTPUT_TOKENS("outputTokens", "Lockstep: output tokens"),
        PREEMPTIONS("preemptions", "Lockstep: preemptions");

        private final String metric;
        private final String words;

        Count(String metric, String words) {
            this.metric = metric;
            this.words = words;
        }

        /** Its name among Spark's metrics. */
        public String metric() {
            return metric;
        }

        /** Its name on the stage's page. */
        public String words() {
            return words;
        }

        private LongAccumulator in(SparkContext spark) {
            return spark.longAccumulator(words);
        }
    }

    public static RunCounters register(SparkContext spark) {
        ReportAccumulator reports = new ReportAccumulator();
        spark.register(reports, REPORTS);
        return new RunCounters(
                Count.BYTES_LOADED.in(spark),
                Count.ROWS_DONE.in(spark),
                Count.ROWS_FAILED.in(spark),
                Count.PROMPT_TOKENS.in(spark),
                Count.CACHED_TOKENS.in(spark),
                Count.OUTPUT_TOKENS.in(spark),
                Count.PREEMPTIONS.in(spark),
                reports);
    }
}
