package org.lockstep.flight;

import java.io.Serializable;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.lockstep.collective.Flight;
import org.lockstep.collective.World;

/**
 * What one rank hands over when its world has failed: its last operations in each of its groups. Immutable.
 *
 * @param rank in the world
 * @param place where it ran, in words: host, executor, task
 * @param taken when, in nanoseconds since 1970 by the rank's own clock
 * @param end how the rank's own code ended
 * @param flights one for each of its groups
 */
public record FlightRecord(int rank, String place, long taken, End end, List<Flight> flights) implements Serializable {
    /** How the code of a rank ended. */
    public enum End {
        /** It did not yet. */
        RUNNING,
        /** It was done, and left in order. */
        RETURNED,
        /** With a failure of its own. */
        FAILED,
        /** Because of another rank's failure, or because it was told to stop. */
        RELEASED
    }

    public FlightRecord {
        flights = List.copyOf(flights);
    }

    /** What {@code world}'s rank has recorded by now. From any thread, also after the world's end. */
    public static FlightRecord of(World world, String place, End end) {
        return new FlightRecord(
                world.state().rank(),
                place,
                System.currentTimeMillis() * 1_000_000,
                end,
                world.communicators().flights());
    }

    /** Whether the rank was inside the operation that began last. */
    boolean isInside() {
        return last().filter(step -> !step.entry().isComplete()).isPresent();
    }

    /** The operation that began last, in whatever group; with its group. */
    Optional<Step> last() {
        Step last = null;
        for (Flight flight : flights) {
            for (Flight.Entry entry : flight.entries()) {
                if (last == null || entry.started() >= last.entry().started()) {
                    last = new Step(flight, entry);
                }
            }
        }
        return Optional.ofNullable(last);
    }

    /** The operation that began last, in words, and how long before this record was taken it ended; empty if there is none. */
    public String lastOperation() {
        return last().map(step -> step.entry().isComplete()
                        ? String.format(
                                Locale.ROOT,
                                "%s, %.1f s before",
                                step,
                                Math.max(0, taken - step.entry().ended()) / 1e9)
                        : step.toString())
                .orElse("");
    }

    /** One operation of a rank in one of its groups. */
    record Step(Flight flight, Flight.Entry entry) {
        @Override
        public String toString() {
            return entry + " in " + flight.group();
        }
    }
}
