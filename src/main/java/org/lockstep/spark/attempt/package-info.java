/**
 * A run is attempts: {@code AttemptLoop} makes them on the driver, one after the other, for the rows that are not done, and says what is
 * kept when none is left. It knows neither models nor stages: an attempt is whatever it is given.
 */
@NullMarked
package org.lockstep.spark.attempt;

import org.jspecify.annotations.NullMarked;
