/**
 * How a run went and goes: what each rank measures of itself, what comes together on the driver, progress. Values, accumulators
 * and a listener; pages are drawn elsewhere.
 */
@NullMarked
package org.lockstep.spark.report;

import org.jspecify.annotations.NullMarked;
