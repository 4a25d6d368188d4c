package org.lockstep.flight;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.lockstep.collective.Flight;
import org.lockstep.collective.OperationTag;
import org.lockstep.flight.FlightVerdict.Kind;
import org.lockstep.topology.ProcessGroup;

/**
 * An operation that not all of its ranks called in the same way: the first of its group. The fewer are to blame; where no call
 * has more ranks than every other, all are.
 */
record Difference(ProcessGroup group, SortedMap<Integer, Flight.Entry> calls) {

    /** The first in whatever group. */
    static Optional<Difference> in(Collection<FlightRecord> records) {
        Map<List<Integer>, List<Flight>> groups = new HashMap<>();
        for (FlightRecord record : records) {
            for (Flight flight : record.flights()) {
                groups.computeIfAbsent(List.copyOf(flight.group().ranks()), any -> new ArrayList<>())
                        .add(flight);
            }
        }
        return groups.entrySet().stream()
                .sorted(Comparator.comparing(group -> group.getKey().toString()))
                .flatMap(group -> Stream.concat(ofCollectives(group.getValue()), ofTransfers(group.getValue())))
                .findFirst();
    }

    private static Stream<Difference> ofCollectives(List<Flight> flights) {
        SortedMap<Long, SortedMap<Integer, Flight.Entry>> calls = new TreeMap<>(); // by number, by rank
        for (Flight flight : flights) {
            for (Flight.Entry entry : flight.entries()) {
                if (entry.isCollective()) {
                    calls.computeIfAbsent(entry.tag().sequence(), any -> new TreeMap<>())
                            .put(flight.rank(), entry);
                }
            }
        }
        return differing(flights.get(0).group(), calls.values());
    }

    /** A pair of ranks in one direction, and the number of the transfer. */
    private record Letter(int from, int to, long number) {}

    private static Stream<Difference> ofTransfers(List<Flight> flights) {
        Map<Letter, SortedMap<Integer, Flight.Entry>> calls = new HashMap<>();
        for (Flight flight : flights) {
            for (Flight.Entry entry : flight.entries()) {
                if (!entry.isCollective()) {
                    int peer = flight.group().rank(entry.peer());
                    Letter letter = entry.receives()
                            ? new Letter(peer, flight.rank(), entry.tag().sequence())
                            : new Letter(flight.rank(), peer, entry.tag().sequence());
                    calls.computeIfAbsent(letter, any -> new TreeMap<>()).put(flight.rank(), entry);
                }
            }
        }
        return differing(flights.get(0).group(), calls.values());
    }

    private static Stream<Difference> differing(
            ProcessGroup group, Collection<SortedMap<Integer, Flight.Entry>> calls) {
        return calls.stream()
                .filter(call ->
                        call.values().stream().map(Flight.Entry::tag).distinct().count() > 1)
                .map(call -> new Difference(group, call));
    }

    FlightVerdict verdict() {
        SortedMap<Integer, List<Integer>> byCall = new TreeMap<>(); // the ranks of each call, by the lowest of them
        Map<OperationTag, Integer> lowest = new HashMap<>();
        calls.forEach((rank, entry) -> byCall.computeIfAbsent(
                        lowest.computeIfAbsent(entry.tag(), any -> rank), any -> new ArrayList<>())
                .add(rank));
        List<Integer> most = byCall.values().stream()
                .max(Comparator.comparingInt((List<Integer> ranks) -> ranks.size())
                        .thenComparing(ranks -> -ranks.get(0)))
                .orElseThrow();
        Flight.Entry right = call(most.get(0));
        List<Integer> others =
                calls.keySet().stream().filter(rank -> !most.contains(rank)).toList();
        Flight.Entry wrong = call(others.get(0));
        boolean clear = byCall.values().stream().allMatch(ranks -> ranks.equals(most) || ranks.size() < most.size());
        boolean same = right.tag().operation() == wrong.tag().operation();
        return new FlightVerdict(
                same ? Kind.DIFFERENT_SIZE : Kind.DIFFERENT_OPERATION,
                clear ? others : List.copyOf(calls.keySet()),
                clear ? most : List.of(),
                FlightVerdict.ranks(others) + " called " + wrong + ", but " + FlightVerdict.ranks(most) + " called "
                        + right + " in " + group + " (" + right.tag().difference(wrong.tag()) + " differ)");
    }

    private Flight.Entry call(int rank) {
        return Objects.requireNonNull(calls.get(rank));
    }
}
