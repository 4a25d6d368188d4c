package org.lockstep.spark;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;

/**
 * A run that has ended.
 *
 * @param rows the input's rows in order, with {@link Llm#OUTPUT_COLUMNS} beside their own
 * @param plan of the machine that ran it
 * @param report how it went
 */
public record Generation(Dataset<Row> rows, Plan plan, RunReport report) {
    /** The report as a self-contained page: for a file, {@code displayHTML} or {@code %html}. */
    public String html() {
        return ReportPage.of(plan, report);
    }
}
