package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TimetableTest {
    /** Every micro-batch passes chunk by chunk through all stages in order, and a full ring leaves no stage idle. */
    @ParameterizedTest(name = "{0} stages of {1} chunks")
    @CsvSource({"1,1", "2,1", "3,1", "4,1", "2,2", "3,2", "2,3", "4,4"})
    void everyStageHasATurnWithEveryMicroBatchInTheRightOrder(int stages, int chunks) {
        Timetable[] ranks = new Timetable[stages];
        for (int stage = 0; stage < stages; stage++) {
            ranks[stage] = new Timetable(stages, chunks, stage);
        }
        long[] starts = new long[stages];
        int[] passed = new int[stages]; // by lane: how many virtual stages its micro-batch has behind it
        Arrays.fill(starts, -1);
        for (long tick = 0; tick < 10L * stages * chunks; tick++) {
            int entering = ranks[0].entering(tick);
            if (starts[entering] < 0 || tick - starts[entering] == ranks[0].length()) {
                assertThat(passed[entering]).isEqualTo(starts[entering] < 0 ? 0 : stages * chunks);
                starts[entering] = tick;
                passed[entering] = 0;
            }
            for (Timetable rank : ranks) {
                int lane = rank.working(tick);
                if (starts[lane] < 0) {
                    assertThat(tick).as("idle only while the ring fills").isLessThan(stages);
                    continue;
                }
                int age = (int) (tick - starts[lane]);
                assertThat(age % stages).isEqualTo(rank.stage());
                assertThat(rank.chunk(age)).isBetween(0, chunks - 1);
                assertThat(passed[lane]++).as("after all stages before").isEqualTo(age);
                assertThat(rank.isLast(age)).isEqualTo(age == stages * chunks - 1);
            }
        }
    }
}
