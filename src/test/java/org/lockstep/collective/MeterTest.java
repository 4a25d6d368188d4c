package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MeterTest {
    @Test
    void smallOperationsAreSampledAndLargeOnesTimed() {
        Meter meter = new Meter();
        int timed = 0;
        for (int i = 0; i < 160; i++) {
            long start = meter.begin(100);
            timed += start == 0 ? 0 : 1;
            meter.end(100, start);
        }
        assertThat(timed).isEqualTo(10);
        assertThat(meter.begin(4096)).isNotZero();
        assertThat(meter.traffic().operations()).isEqualTo(160);
        assertThat(meter.traffic().bytes()).isEqualTo(16_000);
    }

    @Test
    void oneSampleSpeaksForThoseAfterItOnly() {
        Meter meter = new Meter();
        meter.end(4, System.nanoTime() - 1_000_000_000);
        long first = meter.traffic().nanos();
        assertThat(first).isBetween(1_000_000_000L, 15_000_000_000L);
        for (int i = 1; i < 4; i++) {
            meter.end(4, 0);
        }
        assertThat(meter.traffic().nanos()).isBetween(4 * first - 4, 4 * first);
    }

    @Test
    void aGroupOfTransfersCountsAsMany() {
        Meter meter = new Meter();
        meter.endTimed(5, 4000, meter.beginTimed());
        assertThat(meter.traffic().operations()).isEqualTo(5);
        assertThat(meter.traffic().bytes()).isEqualTo(4000);
    }
}
