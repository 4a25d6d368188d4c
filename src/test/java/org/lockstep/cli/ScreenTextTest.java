package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.lockstep.spark.report.Progress;

class ScreenTextTest {
    @Test
    void theProgressLineIsRewrittenAndClearedAtTheEnd() {
        StringWriter terminal = new StringWriter();
        ProgressLine line = new ProgressLine(new PrintWriter(terminal));
        line.accept(new Progress(435, 1000, 5000, 0, 0, 0, 2, 0, Duration.ofSeconds(1)));
        line.accept(new Progress(999, 1000, 5000, 0, 0, 120, 2, 1, Duration.ofSeconds(2)));
        line.accept(new Progress(0, 0, 5000, 1250, 9000, 60_000, 2, 2, Duration.ofSeconds(30)));
        line.close();
        line.accept(new Progress(0, 0, 5000, 5000, 0, 0, 2, 2, Duration.ofSeconds(31)));
        assertThat(terminal.toString().split("\r\u001b\\[K", -1))
                .containsExactly(
                        "",
                        "loading 43 %",
                        "0 of 5,000 rows, 120 tokens, 60 tokens/s, 1 of 2 replicas",
                        "1,250 of 5,000 rows, 60,000 tokens, 2,000 tokens/s, 2 of 2 replicas, 1:30 left",
                        "");
    }

    @Test
    void storiesAreWrappedBetweenWords() {
        String word = "abcdefghi ";
        assertThat(Stories.wrapped(word.repeat(10) + "\n\n" + "x".repeat(120) + " y"))
                .isEqualTo("  " + word.repeat(9).strip() + "\n  abcdefghi\n\n  " + "x".repeat(120) + "\n  y");
        assertThat(Stories.wrapped("")).isEmpty();
    }
}
