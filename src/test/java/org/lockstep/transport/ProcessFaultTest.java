package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
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

    /** The rank that is hurt, by the number of ranks: the control connections of all others lead to rank 0. */
    private static final Map<Integer, Integer> DEAD = Map.of(2, 1, 3, 0, 4, 2);

    /**
     * What is reduced when a rank is killed or frozen, in a world for each: a process has a rank in all of them, for it takes a
     * second to start where the fault takes milliseconds.
     */
    private static final List<Integer> ELEMENTS = List.of(4, 1000, 1_000_000);

    /** Two ranks have but one way between them. */
    private static IntStream sizes(Kind kind) {
        return kind == Kind.MIXED ? IntStream.of(3, 4) : IntStream.of(2, 3, 4);
    }

    static Stream<Arguments> kindsAndSizes() {
        return Stream.of(Kind.SHARED, Kind.TCP, Kind.ENCRYPTED, Kind.MIXED)
                .flatMap(kind -> sizes(kind).mapToObj(size -> Arguments.of(kind, size)));
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
    @MethodSource("kindsAndSizes")
    @FaultCase({"F04", "F12"})
    void aKilledRankIsLost(Kind kind, int size) throws Exception {
        int dead = DEAD.get(size);
        try (RankProcesses worlds = new RankProcesses(kind, size, ELEMENTS, Rhythm.DEFAULT)) {
            long start = System.nanoTime();
            worlds.rank(dead).kill();
            assertLost(worlds, dead == 0 ? "F12" : "F04", dead, "rank " + dead + " is gone", start);
        }
    }

    /** Worlds of all sizes wait together: a process may not be scheduled for seconds, and is not lost before the frozen one is. */
    @ParameterizedTest
    @EnumSource(names = {"SHARED", "TCP", "ENCRYPTED", "MIXED"})
    @Timeout(300)
    @FaultCase("F05")
    void aFrozenRankIsLostAndHearsOfItWhenItThaws(Kind kind) throws Exception {
        Deque<RankProcesses> all = new ArrayDeque<>();
        try {
            long start = 0;
            for (int size : sizes(kind).toArray()) {
                all.push(new RankProcesses(kind, size, ELEMENTS, QUICK));
                start = System.nanoTime();
                all.element().rank(DEAD.get(size)).signal("STOP");
            }
            List<String> ofTheLast = endsOfOthers(all.element());
            FaultLog.released("F05", Duration.ofNanos(System.nanoTime() - start));
            for (RankProcesses worlds : all) {
                assertFrozen(worlds, worlds == all.element() ? ofTheLast : endsOfOthers(worlds));
            }
        } finally {
            all.forEach(RankProcesses::close);
        }
    }

    private static List<String> endsOfOthers(RankProcesses worlds) throws InterruptedException {
        return worlds.endsOfOthers(DEAD.get(worlds.size()));
    }

    private static void assertFrozen(RankProcesses worlds, List<String> ends) throws Exception {
        int dead = DEAD.get(worlds.size());
        assertLost(ends, dead, "rank " + dead + " gave no sign of life for 6.0 s");
        worlds.rank(dead).signal("CONT");
        assertThat(worlds.endsOf(dead)).allMatch(end -> end.contains("PEER_LOST"));
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
