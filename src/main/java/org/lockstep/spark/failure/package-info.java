/**
 * What is known of a gang that failed, on the driver: what each rank said of itself ({@code RankFailure}), which tasks Spark lost
 * ({@code TaskWatch}), what the ranks' flight records tell together ({@code GangWatch}, {@code GangReport}), and whether another
 * attempt could do better ({@code AttemptFailure}). Never here: launching, or cleaning up.
 */
@NullMarked
package org.lockstep.spark.failure;

import org.jspecify.annotations.NullMarked;
