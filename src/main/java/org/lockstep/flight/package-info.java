/**
 * What a failed gang is explained by: the records that its ranks kept of their last operations, and what follows from them.
 *
 * <p>Pure values and functions: a {@link org.lockstep.flight.FlightRecord} is what one rank hands over before it is torn down,
 * {@link org.lockstep.flight.FlightVerdict} what all records together say, {@link org.lockstep.flight.FlightJson} the file that
 * is kept. Apart from {@code collective}, which records, because only who has all ranks' records before him needs this; apart
 * from {@code spark}, because a world of threads or processes fails in the same ways. Never here: how records travel.
 */
@NullMarked
package org.lockstep.flight;

import org.jspecify.annotations.NullMarked;
