package org.lockstep.spark.failure;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class PatienceTest {
    private static long millis(long millis) {
        return TimeUnit.MILLISECONDS.toNanos(millis);
    }

    @Test
    void endsWhenItsTimeHasPassedInLooks() {
        long start = Long.MAX_VALUE - millis(150); // a clock that runs over meanwhile
        Patience patience = new Patience(millis(300), start);
        assertThat(patience.left(start)).isEqualTo(millis(300));
        assertThat(patience.left(start + millis(100))).isEqualTo(millis(200));
        assertThat(patience.left(start + millis(200))).isEqualTo(millis(100));
        assertThat(patience.left(start + millis(300))).isZero();
        assertThat(patience.left(start + millis(400))).isNegative();
    }

    /** A JVM that was stopped for longer than its patience is not at the end of it: those who have told are heard now. */
    @Test
    void aPauseOfTheWholeJvmCountsLittle() {
        Patience patience = new Patience(millis(3000), 0);
        patience.left(millis(100));
        assertThat(patience.left(millis(60_100))).isGreaterThan(millis(2000));
        assertThat(patience.left(millis(60_200))).isGreaterThan(millis(2000));
    }

    @Test
    void ofNothingIsAtItsEndAtOnce() {
        assertThat(new Patience(0, 17).left(17)).isZero();
    }
}
