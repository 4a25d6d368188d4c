package org.lockstep.spark.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Nothing that is written down is lost, however long it takes. */
class TimelineTest {
    private static final long SECOND = 1_000_000_000;

    @Test
    void aSpanIsSpreadOverItsBins() {
        Timeline timeline = new Timeline(0, 1000);
        timeline.computed(1000 + 5_000_000, 1000 + 25_000_000);

        assertThat(timeline.width()).isEqualTo(10_000_000);
        assertThat(timeline.bins()).isEqualTo(3);
        assertThat(IntStream.range(0, 3).mapToLong(timeline::computeNanos))
                .containsExactly(5_000_000L, 10_000_000L, 5_000_000L);
    }

    @Test
    void binsGetWiderAndKeepTheirSums() {
        Timeline timeline = new Timeline(0, 0);
        for (int second = 0; second < 1000; second++) {
            timeline.computed(second * SECOND, second * SECOND + SECOND / 2);
            timeline.communicated(second * SECOND, (second + 1) * SECOND, SECOND / 4);
            timeline.putOut(second * SECOND, 3);
        }

        assertThat(timeline.bins()).isLessThanOrEqualTo(Timeline.MOST_BINS);
        assertThat(timeline.bins() * timeline.width()).isGreaterThanOrEqualTo(999 * SECOND + SECOND / 2);
        assertThat(IntStream.range(0, timeline.bins())
                        .mapToLong(timeline::computeNanos)
                        .sum())
                .isEqualTo(500 * SECOND);
        assertThat(IntStream.range(0, timeline.bins())
                        .mapToLong(timeline::collectiveNanos)
                        .sum())
                .isEqualTo(250 * SECOND);
        assertThat(IntStream.range(0, timeline.bins())
                        .mapToLong(timeline::outputTokens)
                        .sum())
                .isEqualTo(3000);
    }

    @Test
    void aSpanThatOutgrowsTheBinsIsWhole() {
        Timeline timeline = new Timeline(0, 0);
        timeline.computed(0, 100 * SECOND);

        assertThat(IntStream.range(0, timeline.bins())
                        .mapToLong(timeline::computeNanos)
                        .sum())
                .isEqualTo(100 * SECOND);
        assertThat(IntStream.range(0, timeline.bins())
                        .mapToLong(timeline::computeNanos)
                        .max())
                .hasValue(timeline.width());
    }
}
