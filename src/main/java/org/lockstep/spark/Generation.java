package org.lockstep.spark;

import java.util.List;
import java.util.Optional;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructType;
import org.lockstep.LockstepException;
import org.lockstep.commit.KeptRun;
import org.lockstep.spark.report.RunReport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A run that has ended.
 *
 * @param rows the input's rows in order, with {@link Llm#OUTPUT_COLUMNS} beside their own
 * @param plan of the machine that ran it
 * @param report how it went
 * @param kept where its rows are committed, until {@link #discard}; empty if there are none
 */
public record Generation(Dataset<Row> rows, Plan plan, RunReport report, Optional<KeptRun> kept) {
    private static final Logger LOG = LoggerFactory.getLogger(Generation.class);

    /** Of an input without rows, for which nothing is launched. */
    static Generation ofNothing(SparkSession spark, StructType schema, Plan plan, long start) {
        RunReport report =
                RunReport.ofNothing(plan.grid().sizes(), plan.perRank().each(), start);
        return new Generation(spark.createDataFrame(List.of(), schema), plan, report, Optional.empty());
    }

    /** The report as a self-contained page: for a file, {@code displayHTML} or {@code %html}. */
    public String html() {
        return ReportPage.of(plan, report);
    }

    /**
     * Removes what was committed, when the rows are safe elsewhere. The rows stay with the executors as long as those live.
     *
     * @throws org.lockstep.LockstepException COMMIT_FAILED
     */
    public void discard() {
        kept.ifPresent(KeptRun::discard);
    }

    /** As {@link #discard}, for a run that is good whatever becomes of its directory: what cannot be removed is left and logged. */
    public void letGo() {
        try {
            discard();
        } catch (LockstepException e) {
            LOG.warn("the run is complete; what it kept could not be removed", e);
        }
    }
}
