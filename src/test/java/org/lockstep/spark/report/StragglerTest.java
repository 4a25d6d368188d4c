package org.lockstep.spark.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.lockstep.FaultCase;
import org.lockstep.topology.ParallelSizes;

@FaultCase("F09")
class StragglerTest {
    /** Ranks that generated for so long together, each for so many milliseconds at work of its own. */
    private static List<RankReport> ranks(long generated, long... own) {
        return IntStream.range(0, own.length)
                .mapToObj(rank -> new RankReport(
                        rank,
                        0,
                        "host-" + rank,
                        false,
                        0,
                        0,
                        0,
                        millis(generated),
                        millis(own[rank]),
                        millis(generated - own[rank]),
                        new Timeline(0, 0),
                        new Latencies(),
                        List.of(),
                        Map.of()))
                .toList();
    }

    private static long millis(long millis) {
        return TimeUnit.MILLISECONDS.toNanos(millis);
    }

    @Test
    void theRankThatOthersWaitForIsNamedWithWhatItCostThem() {
        RunReport report = new RunReport(
                4,
                0,
                1,
                0,
                1,
                0,
                1,
                0,
                OptionalLong.empty(),
                Duration.ofSeconds(5),
                ParallelSizes.tensor(4),
                "2 cores",
                ranks(4000, 1000, 1100, 3900, 900));
        assertThat(report.straggler()).hasValue(new Straggler(2, "host-2", 3900 / 1000.0, millis(2900), millis(3000)));
        assertThat(report.toString())
                .endsWith(
                        "; rank 2 on host-2 was slow: 3.9 times the median rank's own work, for which the others waited"
                                + " 2.9 s (median), 3.0 s (longest)");
    }

    @Test
    void ranksThatDifferALittleOrRunAloneAreNone() {
        assertThat(Straggler.of(ranks(4000, 3000, 3200, 3900, 3100))).isEmpty();
        assertThat(Straggler.of(ranks(4000, 1, 4, 1, 1)))
                .as("of next to nothing")
                .isEmpty();
        assertThat(Straggler.of(ranks(4000, 0, 600)))
                .as("where the other's own work was not seen")
                .isEmpty();
        assertThat(Straggler.of(ranks(4000, 3900))).isEmpty();
        assertThat(Straggler.of(List.of())).isEmpty();
    }
}
