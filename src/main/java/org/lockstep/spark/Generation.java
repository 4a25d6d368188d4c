package org.lockstep.spark;

import java.util.Optional;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.lockstep.commit.KeptRun;
import org.lockstep.spark.report.RunReport;

/**
 * A run that has ended.
 *
 * @param rows the input's rows in order, with {@link Llm#OUTPUT_COLUMNS} beside their own
 * @param plan of the machine that ran it
 * @param report how it went
 * @param kept where its rows are committed, until {@link #discard}; empty if there are none
 */
public record Generation(Dataset<Row> rows, Plan plan, RunReport report, Optional<KeptRun> kept) {
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
}
