package org.lockstep.flight;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Flight;

/** Who waits for whom, by the operations that are under way. */
final class Waits {
    private final SortedMap<Integer, FlightRecord> records = new TreeMap<>();
    private final Map<List<Integer>, Long> completed = new HashMap<>(); // by group, the last operation of all of it
    private final List<Wait> all = new ArrayList<>();

    /** A rank inside an operation, and a rank of its group that is not as far. */
    record Wait(int rank, int awaited, FlightRecord.Step step, long nanos) {}

    Waits(Collection<FlightRecord> handedOver) {
        for (FlightRecord record : handedOver) {
            records.put(record.rank(), record);
            for (Flight flight : record.flights()) {
                long last = flight.entries().stream()
                        .filter(entry -> entry.isCollective() && entry.isComplete())
                        .mapToLong(entry -> entry.tag().sequence())
                        .max()
                        .orElse(0);
                completed.merge(flight.group().ranks(), last, Math::max);
            }
        }
        for (FlightRecord record : handedOver) {
            for (Flight flight : record.flights()) {
                for (Flight.Entry entry : flight.underWay()) {
                    waits(record, flight, entry);
                }
            }
        }
    }

    private void waits(FlightRecord record, Flight flight, Flight.Entry entry) {
        for (int peer : flight.group().ranks()) {
            boolean concerned = peer != record.rank()
                    && (entry.isCollective() || flight.group().rank(entry.peer()) == peer);
            if (concerned && reached(peer, flight, entry) < entry.tag().sequence()) {
                all.add(new Wait(
                        record.rank(),
                        peer,
                        new FlightRecord.Step(flight, entry),
                        Math.max(0, record.taken() - entry.started())));
            }
        }
    }

    /**
     * How far a peer came in what the entry is about: the number of its last call. Of one who handed over nothing of the group, as one
     * that returned, it is known only that it was in what others have completed, for none does before all are in.
     */
    private long reached(int peer, Flight flight, Flight.Entry entry) {
        FlightRecord record = records.get(peer);
        List<Flight> theirs = record == null
                ? List.of()
                : record.flights().stream()
                        .filter(each ->
                                each.group().ranks().equals(flight.group().ranks()))
                        .toList();
        if (theirs.isEmpty()) {
            return entry.isCollective() ? completed.getOrDefault(flight.group().ranks(), 0L) : 0;
        }
        return theirs.stream()
                .flatMap(each -> each.entries().stream())
                .filter(each -> entry.isCollective() ? each.isCollective() : isOtherEnd(each, flight, entry))
                .mapToLong(each -> each.tag().sequence())
                .max()
                .orElse(0);
    }

    private static boolean isOtherEnd(Flight.Entry theirs, Flight flight, Flight.Entry entry) {
        return !theirs.isCollective()
                && theirs.receives() != entry.receives()
                && flight.group().rank(theirs.peer()) == flight.rank();
    }

    @Nullable
    FlightRecord record(int rank) {
        return records.get(rank);
    }

    /** All that wait, but those. */
    List<Integer> waiting(Collection<Integer> but) {
        return all.stream()
                .map(Wait::rank)
                .filter(rank -> !but.contains(rank))
                .distinct()
                .sorted()
                .toList();
    }

    /** Who is waited for and waits for nobody. */
    SortedSet<Integer> ends() {
        SortedSet<Integer> ends = new TreeSet<>();
        all.forEach(wait -> ends.add(wait.awaited()));
        all.forEach(wait -> ends.remove(wait.rank()));
        return ends;
    }

    /** Who waits for one who waits: where nobody is an end, they wait in a circle. */
    SortedSet<Integer> circle() {
        SortedMap<Integer, List<Integer>> awaited = new TreeMap<>();
        all.forEach(wait ->
                awaited.computeIfAbsent(wait.rank(), any -> new ArrayList<>()).add(wait.awaited()));
        SortedSet<Integer> circle = new TreeSet<>(awaited.keySet());
        boolean fewer = true;
        while (fewer) { // who is waited for by nobody left is not on it
            SortedSet<Integer> wanted = new TreeSet<>();
            for (Map.Entry<Integer, List<Integer>> each : awaited.entrySet()) {
                if (circle.contains(each.getKey())) {
                    wanted.addAll(each.getValue());
                }
            }
            fewer = circle.retainAll(wanted);
        }
        return circle;
    }

    /** The longest wait for one of these; null if nobody waits for them. */
    @Nullable
    Wait longest(Collection<Integer> awaited) {
        return all.stream()
                .filter(wait -> awaited.contains(wait.awaited()))
                .max((a, b) -> Long.compare(a.nanos(), b.nanos()))
                .orElse(null);
    }

    List<Wait> of(int rank) {
        return all.stream().filter(wait -> wait.rank() == rank).toList();
    }
}
