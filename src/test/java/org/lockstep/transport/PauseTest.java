package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * How a rank waits: when it spins, gives way, and sleeps. Of times only that they are not shorter than they should be is
 * asked, or that one of many is no longer: whatever else runs here stretches them.
 */
@Timeout(60)
class PauseTest {
    private static final Duration LIMIT = Duration.ofMinutes(1);
    private static final long SPIN_NANOS = 50_000;

    private final Seats seats = new Seats(2);
    private final AtomicInteger selections = new AtomicInteger();
    private final List<Pause> pauses = new ArrayList<>();

    @AfterEach
    void close() {
        pauses.forEach(Pause::close);
    }

    private Pause pause(boolean crowded, @Nullable Selector selector, boolean onlySockets) {
        Pause pause =
                new Pause(0, crowded, onlySockets ? null : seats, selector, onlySockets, selections::incrementAndGet);
        pauses.add(pause);
        pause.begin(LIMIT);
        return pause;
    }

    /** Turns until it no longer spins but gives way: from then on every eighth turn says to look, before it was every 32nd. */
    private static long spins(Pause pause) {
        long start = System.nanoTime();
        int turn = 1;
        while (!pause.turn() || turn % 32 == 0) {
            turn++;
        }
        return System.nanoTime() - start;
    }

    @Test
    void whereRanksOutnumberCoresItGivesWayAtItsSecondTurn() {
        Pause pause = pause(true, null, false);
        for (int wait = 0; wait < 3; wait++) {
            assertThat(pause.turn()).isFalse();
            assertThat(pause.isLong()).as("it spun").isFalse();
            pause.turn();
            assertThat(pause.isLong()).as("it gave way").isTrue();
            pause.reset(); // something moved
        }
    }

    @Test
    void whereTheyDoNotItSpinsForFiftyMicroseconds() {
        Pause pause = pause(false, null, false);
        for (int turn = 1; turn <= 32; turn++) {
            assertThat(pause.turn()).as("turn %d", turn).isEqualTo(turn == 32);
            assertThat(pause.isLong()).isFalse();
        }
        pause.reset();
        assertThat(spins(pause)).isGreaterThanOrEqualTo(SPIN_NANOS);
        assertThat(pause.isLong()).isTrue();
    }

    @Test
    void itSpinsForLessWhereThatWasInVainAndForLongerAgainWhereItWasNot() {
        Pause pause = pause(false, null, false);
        long shortest = Long.MAX_VALUE;
        for (int inVain = 0; inVain < 1000; inVain++) {
            shortest = Math.min(shortest, spins(pause));
            pause.begin(LIMIT);
        }
        assertThat(shortest).as("of a thousand").isLessThan(SPIN_NANOS);
        for (int atOnce = 0; atOnce < 64; atOnce++) {
            pause.begin(LIMIT); // and nothing had to be waited for
        }
        assertThat(spins(pause)).isGreaterThanOrEqualTo(SPIN_NANOS);
    }

    @Test
    void whoWaitsForSocketsAloneDoesNotSpin() throws IOException {
        Pause pause = pause(false, Selector.open(), true);
        for (int turn = 1; turn < 32; turn++) {
            assertThat(pause.turn()).isFalse();
            assertThat(pause.isLong()).isFalse();
        }
        pause.turn();
        assertThat(pause.isLong()).as("it gave way").isTrue();
    }

    /** A selector wakes at once, so that who has few cores goes to it sooner. */
    @ParameterizedTest
    @CsvSource({"true, false, 50000", "false, false, 2000000", "false, true, 2000000"})
    void whoHasSocketsSleepsAtTheSelector(boolean crowded, boolean onlySockets, long nanos) throws IOException {
        Pause pause = pause(crowded, Selector.open(), onlySockets);
        pause.wake(); // or the first sleep would last
        long start = System.nanoTime();
        while (selections.get() == 0) {
            pause.turn();
        }
        assertThat(System.nanoTime() - start).isGreaterThanOrEqualTo(nanos);
    }

    @ParameterizedTest
    @CsvSource({"true", "false"})
    void whoHasNoneSleepsByItself(boolean crowded) throws InterruptedException {
        Pause pause = pause(crowded, null, false);
        AtomicBoolean moved = new AtomicBoolean();
        Thread waiter = new Thread(() -> {
            while (!moved.get()) {
                pause.turn();
            }
        });
        waiter.start();
        Awaitility.await()
                .atMost(LIMIT)
                .pollInterval(Duration.ofNanos(100_000))
                .until(() -> LockSupport.getBlocker(waiter) == pause);
        moved.set(true);
        pause.wake();
        waiter.join();
    }

    @Test
    void itsClockStartsWhenItIsFirstLookedAt() {
        Pause pause = pause(true, null, false);
        pause.begin(Duration.ZERO);
        pause.turn();
        assertThat(pause.isLate()).isFalse();
        pause.turn();
        assertThat(pause.isLate()).isTrue();
        assertThat(pause.limit().passed()).isTrue();
        pause.begin(LIMIT);
        assertThat(pause.isLate()).as("the next operation").isFalse();
    }

    @Test
    void whatIsAddedToItsTimeCountsBeforeAndAfterTheFirstLook() {
        Pause pause = pause(true, null, false);
        pause.begin(Duration.ZERO);
        pause.extend(LIMIT);
        pause.turn();
        pause.turn();
        assertThat(pause.isLate()).isFalse();
        assertThat(pause.limit().limit()).as("what errors show").isEqualTo(LIMIT);
        pause.begin(Duration.ZERO);
        pause.turn();
        pause.turn();
        assertThat(pause.isLate()).isTrue();
        pause.extend(LIMIT);
        assertThat(pause.isLate()).isFalse();
        assertThat(pause.limit().limit()).isEqualTo(LIMIT);
    }

    @Test
    void aLaterStepHasALittleMoreThanTheOperation() {
        Pause pause = pause(true, null, false);
        long start = System.nanoTime();
        pause.begin(Duration.ZERO);
        pause.giveGrace(1);
        pause.turn();
        pause.turn();
        awaitLate(pause);
        assertThat(Duration.ofNanos(System.nanoTime() - start))
                .as("who knows better says so first")
                .isGreaterThanOrEqualTo(Duration.ofMillis(250));
        assertThat(pause.limit().limit()).as("what errors show").isEqualTo(Duration.ZERO);
        pause.begin(Duration.ZERO);
        pause.turn();
        pause.turn();
        assertThat(pause.isLate()).as("the next operation").isTrue();
    }

    private static void awaitLate(Pause pause) {
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> {
            pause.turn();
            return pause.isLate();
        });
    }

    @Test
    void whoStoodStillWhenItsTimeRanOutHearsOthersBeforeItIsLate() {
        Pause pause = waitingForAMillisecond();
        standStill();
        long start = System.nanoTime();
        pause.turn();
        assertThat(pause.isLate()).isFalse();
        awaitLate(pause);
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThanOrEqualTo(Duration.ofMillis(250));
        assertThat(pause.limit().limit()).as("what errors show").isEqualTo(Duration.ofMillis(1));
    }

    @Test
    void whoStandsStillAgainAndAgainIsLateSomeTime() {
        Pause pause = waitingForAMillisecond();
        for (int pardon = 0; pardon < 4; pardon++) {
            standStill();
            pause.turn();
            assertThat(pause.isLate()).isFalse();
        }
        standStill();
        pause.turn();
        assertThat(pause.isLate()).isTrue();
    }

    /** At its first look at the clock. */
    private Pause waitingForAMillisecond() {
        Pause pause = pause(true, null, false);
        pause.begin(Duration.ofMillis(1));
        pause.turn();
        pause.turn();
        return pause;
    }

    private static void standStill() {
        long end = System.nanoTime() + Duration.ofMillis(260).toNanos();
        while (System.nanoTime() - end < 0) {
            LockSupport.parkNanos(end - System.nanoTime());
        }
    }
}
