package org.lockstep.spark;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;

/**
 * A run that has ended.
 *
 * @param rows the input's rows in order, with {@link Llm#OUTPUT_COLUMNS} beside their own
 * @param report how it went
 */
public record Generation(Dataset<Row> rows, RunReport report) {}
