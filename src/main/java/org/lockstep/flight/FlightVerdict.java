package org.lockstep.flight;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.lockstep.flight.FlightRecord.End;

/**
 * What the records of all ranks say about why the gang stood still or broke. Immutable; a pure function of the records.
 *
 * <p>First what contradicts itself: ranks of a group whose operations of one number differ. Then who is gone or failed. Then
 * who is missing: each rank inside an operation waits for those of its group who are not as far, and whoever is waited for and
 * waits for nobody is the culprit. Ranks are compared by the numbers of their operations, never by their clocks.
 *
 * @param kind what it is
 * @param culprits ranks of the world, ascending; empty where nobody is to blame
 * @param waiting ranks that were inside an operation, ascending; the culprits are not among them
 * @param sentence one line
 */
public record FlightVerdict(Kind kind, List<Integer> culprits, List<Integer> waiting, String sentence) {
    /** The kinds of verdicts. */
    public enum Kind {
        /** Ranks of a group called different operations. */
        DIFFERENT_OPERATION,
        /** They called the same operation with other elements, another root or another way to reduce. */
        DIFFERENT_SIZE,
        /** A rank is gone. */
        LOST_PEER,
        /** A rank failed on its own. */
        FAILED,
        /** A rank's code was over or elsewhere, and never entered the operation that others wait in. */
        MISSING_ENTER,
        /** A rank's code goes on, and has entered nothing. */
        STUCK_IN_COMPUTE,
        /** Ranks wait for each other in different operations. */
        DEADLOCK,
        /** Nobody waits and nothing differs. */
        NOTHING_SEEN;

        /** As reports show it: {@code missing enter}. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT).replace('_', ' ');
        }
    }

    public FlightVerdict {
        culprits = List.copyOf(culprits);
        waiting = List.copyOf(waiting);
    }

    /**
     * The verdict over the ranks of one world.
     *
     * @param records of those ranks that handed one over, at most one each
     * @param lost ranks that are known to be gone
     */
    public static FlightVerdict of(Collection<FlightRecord> records, Set<Integer> lost) {
        Optional<Difference> difference = Difference.in(records);
        if (difference.isPresent()) {
            return difference.get().verdict();
        }
        Waits waits = new Waits(records);
        List<Integer> gone = lost.stream().sorted().toList();
        if (!gone.isEmpty()) {
            return verdict(Kind.LOST_PEER, gone, waits, ranks(gone) + (gone.size() == 1 ? " is" : " are") + " gone");
        }
        List<Integer> failed = records.stream()
                .filter(record -> record.end() == End.FAILED)
                .map(FlightRecord::rank)
                .sorted()
                .toList();
        if (!failed.isEmpty()) {
            return verdict(Kind.FAILED, failed, waits, ranks(failed) + " failed" + after(failed.get(0), waits));
        }
        List<Integer> ends = List.copyOf(waits.ends());
        return ends.isEmpty() ? circle(waits) : missing(ends, waits);
    }

    private static FlightVerdict circle(Waits waits) {
        List<Integer> circle = List.copyOf(waits.circle());
        if (circle.isEmpty()) {
            return new FlightVerdict(
                    Kind.NOTHING_SEEN, List.of(), List.of(), "no rank waits for another, and no operations differ");
        }
        String calls = circle.stream()
                .flatMap(rank -> waits.of(rank).stream().limit(1))
                .map(wait -> "rank " + wait.rank() + " in " + wait.step())
                .collect(Collectors.joining(", "));
        return new FlightVerdict(
                Kind.DEADLOCK, circle, waits.waiting(circle), ranks(circle) + " wait for each other: " + calls);
    }

    private static FlightVerdict missing(List<Integer> ends, Waits waits) {
        List<Integer> running = ends.stream()
                .filter(rank -> {
                    FlightRecord record = waits.record(rank);
                    return record == null || record.end() == End.RUNNING;
                })
                .toList();
        if (!running.isEmpty()) {
            String what = (running.size() == 1 ? " has" : " have") + " entered nothing"
                    + after(running.get(0), waits).replaceFirst("^ after", " since");
            return verdict(Kind.STUCK_IN_COMPUTE, running, waits, ranks(running) + what);
        }
        // Who was released may have been on the way into the operation; who returned never came.
        List<Integer> returned = ends.stream()
                .filter(rank -> Objects.requireNonNull(waits.record(rank)).end() == End.RETURNED)
                .toList();
        List<Integer> culprits = returned.isEmpty() ? ends : returned;
        String who = (culprits.size() == 1 ? "it " : "they ")
                + (!returned.isEmpty() ? "returned" : culprits.size() == 1 ? "was elsewhere" : "were elsewhere");
        return verdict(
                Kind.MISSING_ENTER,
                culprits,
                waits,
                ranks(culprits) + " never entered "
                        + Objects.requireNonNull(waits.longest(culprits)).step() + ": " + who
                        + after(culprits.get(0), waits));
    }

    /** What is known of a rank's last operation, as the end of a sentence. */
    private static String after(int rank, Waits waits) {
        FlightRecord record = waits.record(rank);
        if (record == null || record.lastOperation().isEmpty()) {
            return "";
        }
        return (record.isInside() ? " in " : " after ") + record.lastOperation();
    }

    private static FlightVerdict verdict(Kind kind, List<Integer> culprits, Waits waits, String what) {
        List<Integer> waiting = waits.waiting(culprits);
        Waits.Wait wait = waits.longest(culprits);
        List<String> parts = new ArrayList<>(List.of(what));
        if (wait != null && !culprits.contains(wait.rank())) {
            parts.add(ranks(waiting) + (waiting.size() == 1 ? " waits" : " wait")
                    + (kind == Kind.MISSING_ENTER ? " there" : " in " + wait.step()) + ", for "
                    + seconds(wait.nanos()));
        }
        return new FlightVerdict(kind, culprits, waiting, String.join("; ", parts));
    }

    private static String seconds(long nanos) {
        return String.format(Locale.ROOT, "%.1f s", Math.max(0, nanos) / 1e9);
    }

    /** As people write it: {@code rank 5}, {@code ranks 4,6,7}. */
    public static String ranks(List<Integer> ranks) {
        return ranks.stream()
                .map(String::valueOf)
                .collect(Collectors.joining(",", ranks.size() == 1 ? "rank " : "ranks ", ""));
    }

    /** One line: {@code missing enter: rank 3 never entered …}. */
    @Override
    public String toString() {
        return kind + ": " + sentence;
    }
}
