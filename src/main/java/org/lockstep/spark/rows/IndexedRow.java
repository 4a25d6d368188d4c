package org.lockstep.spark.rows;

import java.io.Serializable;
import org.apache.spark.sql.Row;

/**
 * A row and its number in the input, which names it wherever it goes.
 *
 * @param index 0 to rows - 1, in the order of the input
 */
public record IndexedRow(long index, Row row) implements Serializable {}
