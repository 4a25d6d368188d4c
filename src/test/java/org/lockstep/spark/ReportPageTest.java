package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.inference.SamplingParams;
import org.lockstep.report.Browser;

/**
 * The page of a real run, opened in a real browser. With {@code -Dlockstep.report.keep=DIR} pages and pictures of them stay there,
 * to be looked at.
 */
@Timeout(240)
class ReportPageTest {
    private SparkSession spark;

    @TempDir
    private Path temporary;

    @BeforeEach
    void start() {
        spark = Sessions.local(4);
    }

    @AfterEach
    void stop() {
        spark.stop();
    }

    private Path folder() throws Exception {
        String kept = System.getProperty("lockstep.report.keep");
        return kept == null ? temporary : Files.createDirectories(Path.of(kept));
    }

    private Browser.Drawn draw(String name, String html, int height) throws Exception {
        Browser browser = Browser.of(folder());
        if (System.getProperty("lockstep.report.keep") != null) {
            Files.move(browser.look(html, height), folder().resolve(name + ".png"));
            Files.writeString(folder().resolve(name + ".html"), html);
        }
        Browser.Drawn drawn = browser.draw(html);
        assertThat(drawn.errors()).as("of its scripts").isEmpty();
        return drawn;
    }

    @Test
    void everySectionOfARunIsDrawn() throws Exception {
        List<String> prompts = new ArrayList<>(IntStream.range(0, 24)
                .mapToObj(i -> "Once upon a time, " + i + " crows")
                .toList());
        prompts.set(7, "");
        String html;
        try (Llm llm = Llm.bundled(spark).tensorParallel(2).pipelineParallel(1).dataParallel(2)) {
            html = llm.run(
                            spark.createDataset(prompts, Encoders.STRING()).toDF("prompt"),
                            "prompt",
                            SamplingParams.greedy().withMaxTokens(48).withIgnoreEos(true))
                    .html();
        }

        Browser.Drawn drawn = draw("run", html, 2500);

        assertThat(drawn.sections().keySet())
                .containsExactly(
                        "The machine",
                        "Pace",
                        "Time line",
                        "Waiting",
                        "Latency",
                        "Where the time went",
                        "Stragglers",
                        "Collectives",
                        "Errors");
        assertThat(drawn.charts().keySet()).containsExactly("Pace", "Time line", "Waiting", "Where the time went");
        drawn.charts().forEach((chart, marks) -> assertThat(marks).as(chart).isGreaterThanOrEqualTo(4));
        assertThat(drawn.dom()).contains("1,104</b><span>output tokens<", "2 × 1 × 2");
        assertThat(String.join("\n", drawn.sections().values())).doesNotContain("NaN", "undefined", "Infinity");
        assertThat(drawn.sections().get("Time line")).contains("rank 3", "meet", "connect", "load", "generate");
        assertThat(drawn.sections().get("Collectives"))
                .contains("<th>bytes a call</th>", "<th>waiting</th>", "<td>world</td>")
                .containsPattern("<td>tp</td><td>all_reduce</td><td>2</td>");
        assertThat(drawn.sections().get("Errors")).contains("LOCKSTEP-6003 PROMPT_EMPTY</td><td>1</td>");
        assertThat(drawn.sections().get("The machine").split("class=\"rank\"", -1))
                .hasSize(5);
    }

    @Test
    void aRunThatFailedSaysWhatAndWhoAndWhatIsKept() throws Exception {
        Plan plan = Llm.bundled(spark).tensorParallel(2).pipelineParallel(2).plan();
        LockstepException failure = LockstepException.report(ErrorCode.PEER_LOST, "rank 3 is gone")
                .culprit("rank 3  host gpu-b  executor 2  task 17 (stage 4.0, partition 1)")
                .waiting("ranks 0-2")
                .kept("1,920 of 5,000 rows, in /kept/<run>")
                .cause(new IllegalStateException("its disk is full"))
                .exception();

        Browser.Drawn drawn = draw("failure", plan.html(failure), 1400);

        assertThat(drawn.sections().keySet()).containsExactly("What happened", "The machine", "Where");
        assertThat(drawn.sections().get("What happened"))
                .contains("LOCKSTEP-2002 PEER_LOST", "waiting : ranks 0-2", "in /kept/&lt;run&gt;");
        assertThat(drawn.sections().get("The machine")).containsOnlyOnce("class=\"rank marked\"><b>3</b>");
        assertThat(drawn.sections().get("Where")).contains("IllegalStateException: its disk is full", "ReportPageTest");
        assertThat(drawn.dom()).contains("PEER_LOST</b>", "rank 3</b><span>to blame");
    }
}
