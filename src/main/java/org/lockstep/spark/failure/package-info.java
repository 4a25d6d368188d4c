/**
 * What is known of a gang that failed, on the driver: what each rank said of itself ({@code RankFailure}) and Spark of
 * its tasks and executors ({@code GangWatch}, the one listener of a run; {@code Gang}, {@code Loss}), what that and the ranks'
 * flight records tell together ({@code GangReport}), and whether another attempt could do better ({@code AttemptFailure}). Never here: launching, or cleaning up.
 */
@NullMarked
package org.lockstep.spark.failure;

import org.jspecify.annotations.NullMarked;
