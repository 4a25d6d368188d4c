/**
 * How a run went and goes: what each rank measures of itself, what comes together on the driver, progress. Values, and two listeners;
 * pages are drawn elsewhere.
 */
@NullMarked
package org.lockstep.spark.report;

import org.jspecify.annotations.NullMarked;
