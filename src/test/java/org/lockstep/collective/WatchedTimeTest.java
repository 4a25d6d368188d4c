package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class WatchedTimeTest {
    private static final Duration LONGEST = Duration.ofMillis(500);

    private static long millis(long millis) {
        return TimeUnit.MILLISECONDS.toNanos(millis);
    }

    @Test
    void isTheClocksWhereLooksAreClose() {
        long start = Long.MAX_VALUE - millis(150); // a clock that runs over meanwhile
        WatchedTime time = new WatchedTime(LONGEST, start);
        assertThat(time.nanos(start)).isZero();
        assertThat(time.nanos(start + millis(100))).isEqualTo(millis(100));
        assertThat(time.nanos(start + millis(200))).isEqualTo(millis(200));
        assertThat(time.nanos(start + millis(300))).isEqualTo(millis(300));
        assertThat(time.nanos(start + millis(400))).isEqualTo(millis(400));
    }

    /** Who has three seconds of patience, and stood still for longer, is not at the end of it: those who have told are heard now. */
    @Test
    void aPauseOfTheWholeJvmCountsLittle() {
        WatchedTime time = new WatchedTime(LONGEST, 0);
        time.nanos(millis(100));
        assertThat(time.nanos(millis(60_100))).isLessThan(millis(1000));
        assertThat(time.nanos(millis(60_200))).isLessThan(millis(1000));
    }

    @Test
    void beginsAgain() {
        WatchedTime time = new WatchedTime(LONGEST, 17);
        assertThat(time.nanos(17)).isZero();
        time.nanos(millis(100));
        time.restart(millis(200));
        assertThat(time.nanos(millis(300))).isEqualTo(millis(100));
    }
}
