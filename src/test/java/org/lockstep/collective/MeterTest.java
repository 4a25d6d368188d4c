package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MeterTest {
    private static final long SLOW = 100_000_000_000L; // nanoseconds: beside them no pause of this test counts

    @Test
    void smallOperationsAreSampledAndLargeOnesTimed() {
        Meter meter = new Meter();
        int timed = 0;
        for (int i = 0; i < 160; i++) {
            long start = meter.begin(100);
            timed += start == 0 ? 0 : 1;
            meter.end(100, start);
        }
        assertThat(timed).as("the first 16, and one in 16 of the others").isEqualTo(16 + 9);
        assertThat(meter.begin(4096)).isNotZero();
        assertThat(meter.traffic().operations()).isEqualTo(160);
        assertThat(meter.traffic().bytes()).isEqualTo(16_000);
    }

    /** The first operation of a kind waits for whoever came late: that says nothing of the next. */
    @Test
    void aSlowFirstOneSpeaksForItselfAndASampleForThoseAfterIt() {
        Meter meter = new Meter();
        meter.end(4, System.nanoTime() - SLOW);
        Traffic first = meter.traffic();
        assertThat(first.nanos()).isBetween(SLOW, SLOW + SLOW / 2);
        for (int i = 1; i < 16; i++) {
            meter.end(4, System.nanoTime());
        }
        Traffic warm = meter.traffic();
        assertThat(warm.minus(first).nanos()).isBetween(0L, SLOW / 2);
        meter.end(4, System.nanoTime() - SLOW);
        for (int i = 17; i < 20; i++) {
            meter.end(4, 0);
        }
        assertThat(meter.traffic().minus(warm).nanos()).isBetween(4 * SLOW, 6 * SLOW);
        assertThat(warm.minus(meter.traffic()).nanos())
                .as("never less than none")
                .isZero();
    }

    @Test
    void aGroupOfTransfersCountsAsMany() {
        Meter meter = new Meter();
        meter.endTimed(5, 4000, meter.beginTimed());
        assertThat(meter.traffic().operations()).isEqualTo(5);
        assertThat(meter.traffic().bytes()).isEqualTo(4000);
    }
}
