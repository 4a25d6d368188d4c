package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.Left;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.flight.FlightRecord;
import org.lockstep.flight.FlightVerdict;
import org.lockstep.transport.ChaosSchedule.Fault;

/**
 * Seeded faults in worlds of four ranks: whatever happens, all ranks are released in time with the same verdict, which names one
 * of those that are to blame in a message of the agreed form, and nothing is left. Or nothing happens but a bad network, and all
 * results are right.
 *
 * <p>Twenty seeds with every build; many with {@code mvn test -Dtest=ChaosTest -Dlockstep.chaos.seeds=200}, and one again with
 * {@code -Dlockstep.chaos.first=SEED -Dlockstep.chaos.seeds=1}.
 */
@Timeout(value = 60, unit = TimeUnit.MINUTES)
@FaultCase({"F34", "F35", "F36"})
class ChaosTest {
    private static final int RANKS = 4;
    private static final long FIRST = Long.getLong("lockstep.chaos.first", 1);
    private static final int SEEDS = Integer.getInteger("lockstep.chaos.seeds", 20);

    /** The operation's limit or the time after which silence is a loss, and what a busy machine adds. */
    private static final Duration BOUND = Duration.ofSeconds(15);

    private static final Pattern FORM =
            Pattern.compile("LOCKSTEP-\\d{4} [A-Z_]+ {2}\\S.*(\\n {2}[a-z]{2,8} *: \\S.*)*");
    private static final Pattern LABEL = Pattern.compile("LOCKSTEP-\\d{4} ([A-Z_]+)");
    private static final Pattern RANKS_NAMED = Pattern.compile("ranks? ([\\d,]+)|link (\\d+)->(\\d+)");

    private final Map<Fault, List<Long>> released = new EnumMap<>(Fault.class);

    @Test
    void everySeedEndsAsItShould() throws Exception {
        for (int warm = 0; warm < 4; warm++) { // what is made once and for all
            new ChaosWorld(new ChaosSchedule(-1 - warm, RANKS)).run();
        }
        Left before = Left.now();
        List<String> wrong = new ArrayList<>();
        long start = System.nanoTime();
        LongStream.range(FIRST, FIRST + SEEDS).forEach(seed -> {
            ChaosSchedule schedule = new ChaosSchedule(seed, RANKS);
            try {
                check(schedule, new ChaosWorld(schedule).run());
            } catch (Exception | AssertionError failure) {
                wrong.add(schedule + "\n  " + failure);
            }
        });
        System.out.println(SEEDS + " seeds in " + TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - start) + " s, "
                + wrong.size() + " wrong");
        released.forEach((fault, nanos) -> System.out.println(String.format(
                Locale.ROOT,
                "  %-9s %3d times, released after %,d ms at most",
                fault,
                nanos.size(),
                nanos.stream().mapToLong(Long::longValue).max().orElse(0) / 1_000_000)));
        assertThat(wrong).isEmpty();
        await().atMost(Duration.ofSeconds(30))
                .pollInterval(Duration.ofMillis(50))
                .untilAsserted(() -> Left.now().requireNoMoreThan(before));
    }

    private void check(ChaosSchedule schedule, ChaosWorld.Outcome outcome) {
        released.computeIfAbsent(schedule.fault, any -> new ArrayList<>()).add(outcome.released());
        if (schedule.fault == Fault.NONE) {
            assertThat(outcome.ends())
                    .allSatisfy(end -> assertThat(end.failure()).isNull());
            return;
        }
        assertThat(Duration.ofNanos(outcome.released())).as("release").isBetween(Duration.ofNanos(1), BOUND);
        FaultLog.released("F36", Duration.ofNanos(outcome.released()));
        Set<ErrorCode> told = new HashSet<>();
        List<FlightRecord> records = new ArrayList<>();
        for (ChaosWorld.End end : outcome.ends()) {
            records.add(end.record());
            if (end.failure() instanceof CommunicatorException failure) {
                String message = String.valueOf(failure.getMessage());
                assertThat(message).matches(FORM);
                told.add(root(message));
                if (names(schedule, end)) {
                    assertThat(named(message)).as(message).containsAnyElementsOf(schedule.guilty());
                }
            } else {
                boolean itself = end.rank() == schedule.caller
                        && (schedule.fault == Fault.THROW || schedule.fault == Fault.RETURN);
                assertThat(itself)
                        .as("rank %s ended well or by itself", end.rank())
                        .isTrue();
            }
        }
        assertThat(told).as("one verdict").hasSize(1).isSubsetOf(schedule.fault.told);
        FlightVerdict verdict = FlightVerdict.of(records, Set.of());
        boolean seen = schedule.fault != Fault.MISMATCH
                || verdict.kind().name().startsWith("DIFFERENT"); // not beside transfers
        if (!schedule.fault.isOfTheNetwork() && seen) {
            assertThat(verdict.culprits()).as(verdict.toString()).containsAnyElementsOf(schedule.guilty());
        }
    }

    /**
     * Whether its message must name who is to blame. A rank that is killed says nothing. One whose time is up names for whom it
     * waited, who may wait too; how long a chain that is, only the records of all show.
     */
    private static boolean names(ChaosSchedule schedule, ChaosWorld.End end) {
        return schedule.fault != Fault.STALL && !(schedule.fault == Fault.KILL && end.rank() == schedule.caller);
    }

    /** The code of the first cause: the last one that is quoted, for who was aborted quotes why. */
    private static ErrorCode root(String message) {
        Matcher label = LABEL.matcher(message);
        ErrorCode last = ErrorCode.INTERNAL;
        while (label.find()) {
            last = ErrorCode.valueOf(label.group(1));
        }
        return last;
    }

    private static Set<Integer> named(String message) {
        Set<Integer> ranks = new HashSet<>();
        Matcher named = RANKS_NAMED.matcher(message);
        while (named.find()) {
            if (named.group(1) != null) {
                for (String each : named.group(1).split(",", -1)) {
                    if (!each.isEmpty()) {
                        ranks.add(Integer.parseInt(each));
                    }
                }
            } else {
                ranks.add(Integer.parseInt(named.group(2)));
                ranks.add(Integer.parseInt(named.group(3)));
            }
        }
        return ranks;
    }
}
