package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.FaultCase;
import org.lockstep.FaultLog;
import org.lockstep.transport.RankProcesses.Kind;

/** What becomes of the others when the process of a rank dies, stands still or leaves in the middle of reductions. */
@Timeout(120)
@EnabledOnOs(OS.LINUX)
class ProcessFaultTest {
    private static final Rhythm QUICK =
            new Rhythm(Duration.ofMillis(200), Duration.ofMillis(1000), Duration.ofMillis(6000));

    /**
     * The rank that is hurt, by the size of its world: the control connections of all others lead to rank 0. A world of two goes the
     * way of the three: without its first rank it has no control connection left, and it reduces as they do.
     */
    private static final Map<Integer, Integer> DEAD = new TreeMap<>(Map.of(3, 0, 4, 2));

    /** How much those of a kind reduce. */
    private static IntStream elements(Kind kind) {
        return switch (kind) {
            case ENCRYPTED -> IntStream.of(1000);
            case MIXED -> IntStream.of(1_000_000); // through layers
            default -> IntStream.of(4, 1000, 1_000_000);
        };
    }

    /** Each with worlds of every size of {@link #DEAD}. */
    static Stream<Arguments> kinds() {
        return Stream.of(Kind.SHARED, Kind.TCP, Kind.ENCRYPTED, Kind.MIXED)
                .flatMap(kind -> elements(kind).mapToObj(elements -> Arguments.of(kind, elements)));
    }

    private static void assertLost(RankProcesses world, String faultCase, int dead, String words, long since)
            throws InterruptedException {
        List<String> ends = world.endsOfOthers(dead);
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - since);
        FaultLog.released(faultCase, Duration.ofMillis(millis));
        assertLost(ends, dead, words);
    }

    private static void assertLost(List<String> ends, int dead, String words) {
        for (String end : ends) {
            assertThat(end).contains("PEER_LOST", words, "culprit : rank " + dead);
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    @FaultCase({"F04", "F12"})
    void aKilledRankIsLost(Kind kind, int elements) throws Exception {
        for (Map.Entry<Integer, Integer> each : DEAD.entrySet()) {
            int dead = each.getValue();
            try (RankProcesses world = new RankProcesses(kind, each.getKey(), elements, Rhythm.DEFAULT)) {
                long start = System.nanoTime();
                world.rank(dead).kill();
                assertLost(world, dead == 0 ? "F12" : "F04", dead, "rank " + dead + " is gone", start);
            }
        }
    }

    /** The worlds wait together: a process may not be scheduled for seconds, and is not lost before the frozen one is. */
    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP", "ENCRYPTED", "MIXED"})
    @Timeout(300)
    @FaultCase("F05")
    void aFrozenRankIsLostAndHearsOfItWhenItThaws(Kind kind) throws Exception {
        Deque<RankProcesses> worlds = new ArrayDeque<>();
        try {
            long start = 0;
            for (int elements : elements(kind).toArray()) {
                for (Map.Entry<Integer, Integer> each : DEAD.entrySet()) {
                    if (worlds.size() == 3) {
                        try (RankProcesses oldest = worlds.removeLast()) {
                            assertFrozen(oldest, endsOfOthers(oldest));
                        }
                    }
                    worlds.push(new RankProcesses(kind, each.getKey(), elements, QUICK));
                    start = System.nanoTime();
                    worlds.element().rank(each.getValue()).signal("STOP");
                }
            }
            List<String> ofTheLast = endsOfOthers(worlds.element());
            FaultLog.released("F05", Duration.ofNanos(System.nanoTime() - start));
            for (RankProcesses world : worlds) {
                assertFrozen(world, world == worlds.element() ? ofTheLast : endsOfOthers(world));
            }
        } finally {
            worlds.forEach(RankProcesses::close);
        }
    }

    private static List<String> endsOfOthers(RankProcesses world) throws InterruptedException {
        return world.endsOfOthers(DEAD.get(world.size()));
    }

    private static void assertFrozen(RankProcesses world, List<String> ends) throws Exception {
        int dead = DEAD.get(world.size());
        assertLost(ends, dead, "rank " + dead + " gave no sign of life for 6.0 s");
        world.rank(dead).signal("CONT");
        assertThat(world.rank(dead).next("over")).contains("PEER_LOST");
    }

    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP"})
    void aShortFreezeIsNoDeath(Kind kind) throws Exception {
        Rhythm forgiving = new Rhythm(QUICK.beat(), QUICK.suspicion(), Duration.ofSeconds(20));
        try (RankProcesses world = new RankProcesses(kind, 2, 1000, forgiving)) {
            world.rank(1).signal("STOP");
            assertThat(world.rank(0).isQuietFor(Duration.ofMillis(1500)))
                    .as("longer than suspicion, shorter than loss")
                    .isTrue();
            assertThat(world.rank(0).logs("rank 0 has not heard of rank 1 for")).matches("\\d+\\.\\d s");
            world.rank(1).signal("CONT");
            world.rank(0).logs("rank 0 hears rank 1 again");
            world.rank(0).say("leave");
            assertThat(world.rank(0).ends()).isTrue();
            assertThat(world.rank(1).next("over")).contains("PEER_LOST", "rank 0 left the group");
        }
    }

    @ParameterizedTest
    @CsvSource({"SHARED, 2, 1", "TCP, 2, 1", "TCP, 0, 1", "TCP, 1, 0"})
    void whoWaitsForAnAnswerHearsOfTheDeathToo(Kind kind, int asks, int dead) throws Exception {
        try (RankProcesses world = new RankProcesses(kind, 3, 1000, Rhythm.DEFAULT)) {
            world.rank(asks).say("ask " + dead);
            world.rank(asks).next("asks");
            long start = System.nanoTime();
            world.rank(dead).kill();
            assertLost(world, dead == 0 ? "F12" : "F04", dead, "rank " + dead + " is gone", start);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP", "ENCRYPTED", "MIXED"})
    void theCauseOfAFailureReachesAll(Kind kind) throws Exception {
        for (int culprit : new int[] {0, 2}) {
            try (RankProcesses world = new RankProcesses(kind, 3, 1000, Rhythm.DEFAULT)) {
                world.rank(culprit).say("fail");
                for (String end : world.endsOfOthers(culprit)) {
                    assertThat(end).contains("ABORTED", "because of rank " + culprit, "the row is cursed");
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"SHARED, TERM", "SHARED, exit", "SHARED, halt", "TCP, TERM", "TCP, exit", "TCP, halt"})
    @FaultCase("F06")
    void aRankWhoseProcessEndsIsLost(Kind kind, String how) throws Exception {
        try (RankProcesses world = new RankProcesses(kind, 3, 1000, Rhythm.DEFAULT)) {
            long start = System.nanoTime();
            if (how.equals("TERM")) {
                world.rank(1).signal(how);
            } else {
                world.rank(1).say(how);
            }
            assertLost(world, "F06", 1, "rank 1 is gone", start);
        }
    }
}
