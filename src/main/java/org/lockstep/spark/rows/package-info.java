/**
 * Rows on their way: an input dealt evenly over the tasks in an order that a later run finds again ({@code EvenRows}), the answers beside
 * the input's own columns, and what tasks read and commit of finished rows ({@code KeptResults}). Never here: how an answer is made.
 */
@NullMarked
package org.lockstep.spark.rows;

import org.jspecify.annotations.NullMarked;
