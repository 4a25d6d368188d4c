package org.lockstep.spark.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class ProgressTest {
    private static Progress loading(long percent, long seconds) {
        return new Progress(percent, 100, 5000, 0, 0, 0, 4, 0, Duration.ofSeconds(seconds));
    }

    private static Progress done(long rows, long seconds) {
        return new Progress(100, 100, 5000, rows, 0, 48 * rows, 4, 3, Duration.ofSeconds(seconds));
    }

    @Test
    void theLineSaysWhatTheMachineDoes() {
        assertThat(loading(0, 1)).hasToString("starting 4 replicas for 5,000 rows");
        assertThat(loading(43, 2)).hasToString("loading 43 %");
        assertThat(done(1250, 30))
                .hasToString("1,250 of 5,000 rows, 60,000 tokens, 2,000 tokens/s, 3 of 4 replicas, 1:30 left");
        assertThat(done(5000, 120)).hasToString("5,000 of 5,000 rows, 240,000 tokens, 2,000 tokens/s, 3 of 4 replicas");
        assertThat(new Progress(0, 1, 3, 0, 0, 5, 1, 1, Duration.ofSeconds(5)))
                .hasToString("0 of 3 rows, 5 tokens, 1 tokens/s");
    }

    @Test
    void hoursAreShownWhereThereAreAny() {
        assertThat(new Progress(0, 0, 100, 1, 0, 10, 1, 1, Duration.ofMinutes(1)).toString())
                .endsWith(", 1:39:00 left");
    }

    @Test
    void whereLinesStayThereAreFew() {
        ByteArrayOutputStream cell = new ByteArrayOutputStream();
        ProgressLines lines = ProgressLines.to(new PrintStream(cell, true, StandardCharsets.UTF_8));

        lines.accept(loading(0, 0));
        LongStream.rangeClosed(1, 100).forEach(percent -> lines.accept(loading(percent, 0)));
        LongStream.rangeClosed(1, 500).forEach(second -> lines.accept(done(10 * second, second)));
        lines.accept(done(5000, 500));
        lines.accept(done(5000, 501)); // it has been said
        lines.accept(loading(0, 0)); // another run

        assertThat(cell.toString(StandardCharsets.UTF_8).lines())
                .hasSizeBetween(22, 24)
                .startsWith("starting 4 replicas for 5,000 rows", done(10, 1).toString())
                .contains(done(250, 25).toString(), done(2500, 250).toString())
                .endsWith(done(5000, 500).toString(), "starting 4 replicas for 5,000 rows");
    }

    @Test
    void aRunThatStandsStillSaysSoEachHalfMinute() {
        ByteArrayOutputStream cell = new ByteArrayOutputStream();
        ProgressLines lines = ProgressLines.to(new PrintStream(cell, true, StandardCharsets.UTF_8));
        lines.accept(done(10, 1));
        LongStream.rangeClosed(2, 61).forEach(second -> lines.accept(done(10, second)));
        assertThat(cell.toString(StandardCharsets.UTF_8).lines())
                .containsExactly(
                        done(10, 1).toString(),
                        done(10, 31).toString(),
                        done(10, 61).toString());
    }
}
