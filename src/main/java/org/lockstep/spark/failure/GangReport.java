package org.lockstep.spark.failure;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.FirstCause;
import org.lockstep.flight.FlightRecord;
import org.lockstep.flight.FlightVerdict;
import org.lockstep.flight.FlightVerdict.Kind;

/**
 * What an attempt failed of: the first cause, who is to blame, and what the ranks' last operations say. Immutable.
 *
 * <p>A rank's failure is a cause if it is the rank's own, and not what it was told by others. The first of these by time is the
 * one, unless it is about a rank that has told of its own. All other causes are suppressed by it, and what goes wrong in
 * cleaning up is none: that comes after, from ranks that were told.
 */
public final class GangReport {
    private final LockstepException.Report report;
    private final List<Throwable> suppressed;
    private final List<String> places;
    private final boolean told;

    private GangReport(LockstepException.Report report, List<Throwable> suppressed, List<String> places, boolean told) {
        this.report = report;
        this.suppressed = suppressed;
        this.places = places;
        this.told = told;
    }

    /**
     * The report of a failed attempt.
     *
     * @param failure what Spark threw
     * @param heard of its tasks
     * @param files where its flight record is written
     */
    static GangReport of(Throwable failure, Gang.Heard heard, FlightFiles files) {
        RankFailure first = first(heard);
        boolean nobodyKnows = first == null || blamesTheLiving(first, heard);
        if (nobodyKnows && !heard.lost().isEmpty() && !(failure instanceof LockstepException)) {
            return ofTheLost(failure, heard, files);
        }
        if (failure instanceof LockstepException || first == null) {
            LockstepException known = GangFailure.of(failure);
            return new GangReport(
                    LockstepException.report(known),
                    Stream.of(known.getSuppressed()).toList(),
                    List.of(),
                    false);
        }
        Inquest inquest = new Inquest(first, heard);
        return first.code() == ErrorCode.RENDEZVOUS_TIMEOUT
                ? inquest.ofTheMeeting(failure, files)
                : inquest.report(failure, files);
    }

    /**
     * Whether it calls a rank gone that has told of its end since: Spark heard of a dead executor first and ended the other tasks,
     * and one of these took another, which had just left, for the dead one.
     */
    private static boolean blamesTheLiving(RankFailure first, Gang.Heard heard) {
        return first.code() == ErrorCode.PEER_LOST
                && !first.blamesItself()
                && handedOver(heard).containsKey(blamed(first));
    }

    /**
     * Spark heard of a dead executor before a peer did, and ended the other tasks: none knows of it, but each hands over its last
     * operations as it ends. Who is dead is known by the partitions of the executor's tasks, if one of the others told those of all
     * ranks; else it is who handed over nothing.
     */
    private static GangReport ofTheLost(Throwable failure, Gang.Heard heard, FlightFiles files) {
        SortedMap<Integer, FlightRecord> records = handedOver(heard);
        SortedMap<Integer, String> lost = new TreeMap<>(heard.lost());
        Set<Integer> silent = new TreeSet<>();
        for (int rank = 0; rank < heard.places().size(); rank++) {
            if (!records.containsKey(rank)) {
                silent.add(rank);
            }
        }
        Set<Integer> dead = ranksOf(lost.keySet(), partitions(heard.failures()));
        boolean told = !dead.contains(-1) && silent.containsAll(dead);
        boolean known = told || silent.size() == lost.size(); // else ranks that never met, or returned, are among them
        List<Integer> gone = List.copyOf(told ? dead : silent);
        FlightVerdict verdict = FlightVerdict.of(records.values(), known ? Set.copyOf(gone) : Set.of());
        LockstepException.Report report = LockstepException.report(
                ErrorCode.PEER_LOST,
                (known ? FlightVerdict.ranks(gone) : lost.size() == 1 ? "a rank" : lost.size() + " ranks")
                        + " died with an executor, and Spark ended the others");
        List<String> places = new ArrayList<>();
        for (Map.Entry<Integer, String> each : lost.entrySet()) {
            places.add((known && gone.size() == 1 ? "rank " + gone.get(0) + "  " : "")
                    + heard.places().get(each.getKey())
                    + "  lost: " + each.getValue().lines().findFirst().orElse(""));
        }
        for (String place : places) {
            report = report.culprit(place);
        }
        report = filed(report, verdict, verdict.waiting(), "see the log of that executor", records.values(), files);
        List<Throwable> mistaken = own(heard.failures()).stream()
                .map(RankFailure::thrown)
                .map(Thrown::asThrowable)
                .toList();
        return new GangReport(report.cause(failure), mistaken, places, false);
    }

    /** Of all ranks, by the first who told them; empty where nobody did. */
    private static List<Integer> partitions(List<RankFailure> failures) {
        return failures.stream()
                .map(RankFailure::partitions)
                .filter(told -> !told.isEmpty())
                .findFirst()
                .orElse(List.of());
    }

    /** The ranks that work on these partitions; -1 among them for one that no rank is known to work on. */
    private static Set<Integer> ranksOf(Set<Integer> partitions, List<Integer> byRank) {
        Set<Integer> ranks = new TreeSet<>();
        partitions.forEach(partition -> ranks.add(byRank.indexOf(partition)));
        return ranks;
    }

    private static SortedMap<Integer, FlightRecord> handedOver(Gang.Heard heard) {
        SortedMap<Integer, FlightRecord> records = new TreeMap<>();
        for (RankFailure each : heard.failures()) {
            if (each.record() != null) {
                records.putIfAbsent(each.rank(), each.record());
            }
        }
        return records;
    }

    /** A report that names the culprits, with all that follows them, and written to a file. */
    private static LockstepException.Report filed(
            LockstepException.Report named,
            FlightVerdict verdict,
            List<Integer> waiting,
            String advice,
            Collection<FlightRecord> records,
            FlightFiles files) {
        LockstepException.Report report = named;
        if (!waiting.isEmpty()) {
            report = report.waiting(FlightVerdict.ranks(waiting));
        }
        if (verdict.kind() != Kind.NOTHING_SEEN) {
            report = report.with("verdict", verdict.toString());
        }
        if (!advice.isEmpty()) {
            report = report.attempt(advice);
        }
        return report.with(
                "record", files.write(String.valueOf(report.exception().getMessage()), verdict, records));
    }

    private static @Nullable RankFailure first(Gang.Heard heard) {
        List<RankFailure> all = own(heard.failures());
        List<RankFailure> known =
                all.stream().filter(failure -> !isInterrupted(failure)).toList();
        List<RankFailure> own = known.isEmpty() && heard.lost().isEmpty() ? all : known;
        RankFailure first = own.isEmpty() ? null : own.get(0);
        Set<RankFailure> seen = new HashSet<>();
        while (first != null && !first.blamesItself() && seen.add(first)) {
            int culprit = blamed(first);
            Optional<RankFailure> theirs =
                    own.stream().filter(other -> other.rank() == culprit).findFirst();
            if (theirs.isEmpty()) {
                break;
            }
            first = theirs.get();
        }
        return first;
    }

    /** Whether its thread was interrupted: Spark does so to all tasks of a stage of which one failed, or whose executor is lost. */
    private static boolean isInterrupted(RankFailure failure) {
        return failure.code() == ErrorCode.ABORTED && failure.blamesItself();
    }

    /** In the order of time. */
    private static List<RankFailure> own(List<RankFailure> failures) {
        return failures.stream()
                .filter(RankFailure::own)
                .sorted(Comparator.comparingLong(RankFailure::at))
                .toList();
    }

    private static int blamed(RankFailure failure) {
        FirstCause cause = failure.cause();
        return cause == null || failure.blamesItself() ? failure.rank() : cause.culprit();
    }

    /** The first cause, with all that was heard of it. */
    private record Inquest(RankFailure first, Gang.Heard heard) {

        GangReport report(Throwable failure, FlightFiles files) {
            SortedMap<Integer, FlightRecord> records = records();
            FlightVerdict verdict = FlightVerdict.of(records.values(), gone(records));
            List<Integer> culprits = knowsBetter(verdict) ? verdict.culprits() : List.of(blamed(first));
            List<String> places = culprits.stream().map(this::place).toList();
            LockstepException.Report report = LockstepException.report(first.code(), first.summary());
            for (int culprit : culprits) {
                FlightRecord record = records.get(culprit);
                String last = record == null ? "" : record.lastOperation();
                report = report.culprit(place(culprit) + (last.isEmpty() ? "" : "  last op " + last));
            }
            List<Integer> waiting = verdict.waiting().stream()
                    .filter(rank -> !culprits.contains(rank))
                    .toList();
            report = filed(report, verdict, waiting, first.advice(), records.values(), files)
                    .cause(first.thrown().asThrowable());
            List<Throwable> suppressed = new ArrayList<>(List.of(failure));
            own(heard.failures()).stream()
                    .filter(other -> !other.equals(first))
                    .forEach(other -> suppressed.add(other.thrown().asThrowable()));
            return new GangReport(report, suppressed, places, true);
        }

        /** Whether the last operations of all know more of who is to blame than the rank that was the first to give up. */
        private boolean knowsBetter(FlightVerdict verdict) {
            return switch (verdict.kind()) {
                case DIFFERENT_OPERATION, DIFFERENT_SIZE -> first.code() == ErrorCode.COLLECTIVE_MISMATCH;
                case MISSING_ENTER, STUCK_IN_COMPUTE, DEADLOCK -> first.code() == ErrorCode.COLLECTIVE_TIMEOUT;
                case LOST_PEER ->
                    first.code() == ErrorCode.PEER_LOST && verdict.culprits().contains(blamed(first));
                case FAILED, NOTHING_SEEN -> false;
            };
        }

        /** Spark's meeting does not say who is missing, but each task that came has said so. */
        GangReport ofTheMeeting(Throwable failure, FlightFiles files) {
            Set<Integer> came = new TreeSet<>();
            heard.failures().stream().filter(RankFailure::came).forEach(each -> came.add(each.partition()));
            List<Integer> missing = heard.places().keySet().stream()
                    .filter(partition -> !came.contains(partition))
                    .sorted()
                    .toList();
            List<String> places = missing.stream()
                    .map(partition -> heard.places().get(partition))
                    .toList();
            String never = missing.isEmpty() ? "" : partitions(missing) + " never came";
            LockstepException.Report report =
                    LockstepException.report(first.code(), first.summary() + (never.isEmpty() ? "" : ": " + never));
            for (String place : places) {
                report = report.culprit(place);
            }
            String waited = partitions(List.copyOf(came));
            // They are no ranks yet, and so have no operations to tell of.
            FlightVerdict verdict = new FlightVerdict(
                    never.isEmpty() ? Kind.NOTHING_SEEN : Kind.MISSING_ENTER,
                    List.of(),
                    List.of(),
                    never + " to the meeting; " + waited + " waited there");
            report = filed(report.waiting(waited), verdict, List.of(), first.advice(), List.of(), files)
                    .cause(first.thrown().asThrowable());
            return new GangReport(report, List.of(failure), places, true);
        }

        private static String partitions(List<Integer> partitions) {
            return FlightVerdict.ranks(partitions).replaceFirst("rank", "partition");
        }

        private SortedMap<Integer, FlightRecord> records() {
            SortedMap<Integer, FlightRecord> records = handedOver(heard);
            heard.returned().stream()
                    .map(first.partitions()::indexOf)
                    .filter(rank -> rank >= 0)
                    .forEach(rank -> records.putIfAbsent(
                            rank,
                            new FlightRecord(
                                    rank, place(rank), first.at() * 1_000_000, FlightRecord.End.RETURNED, List.of())));
            return records;
        }

        /** Ranks that handed nothing over, and are known to be dead. */
        private Set<Integer> gone(SortedMap<Integer, FlightRecord> records) {
            Set<Integer> gone = ranksOf(heard.lost().keySet(), first.partitions());
            if (first.code() == ErrorCode.PEER_LOST && !first.blamesItself()) {
                gone.add(blamed(first));
            }
            gone.remove(-1);
            gone.removeAll(records.keySet());
            return gone;
        }

        private String place(int rank) {
            if (rank == first.rank()) { // also of a task that had none yet, as others had none
                return first.place();
            }
            Optional<RankFailure> told = heard.failures().stream()
                    .filter(failure -> failure.rank() == rank)
                    .findFirst();
            if (told.isPresent()) {
                return told.get().place();
            }
            List<Integer> partitions = first.partitions();
            int partition = rank >= 0 && rank < partitions.size() ? partitions.get(rank) : -1;
            String how = heard.lost().get(partition);
            return "rank " + rank
                    + Optional.ofNullable(heard.places().get(partition))
                            .map(place -> "  " + place)
                            .orElse("")
                    + (how == null ? "" : "  lost: " + how.lines().findFirst().orElse(how));
        }
    }

    /** Whether a rank told of it, not Spark alone. */
    boolean isToldByARank() {
        return told;
    }

    /** Where the culprits ran, in words. */
    List<String> culprits() {
        return places;
    }

    /** To be thrown, where nothing is kept. */
    public LockstepException exception() {
        return exception(report);
    }

    /** To be thrown, with what was kept. */
    public LockstepException exception(String kept) {
        return exception(report.kept(kept));
    }

    private LockstepException exception(LockstepException.Report complete) {
        LockstepException exception = complete.exception();
        suppressed.forEach(exception::addSuppressed);
        return exception;
    }
}
