package org.lockstep.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.RankOrder;

/** A page stands alone, believes no text from outside, and draws in a real browser. */
@Timeout(120)
class PageTest {
    private static final String HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">&'";

    private static final List<Chart> CHARTS = List.of(
            new Chart.Lines(
                    "Lines",
                    HOSTILE,
                    "bytes",
                    "µs",
                    true,
                    List.of(
                            new Chart.Line(HOSTILE, List.of(new Chart.Point(4, 0.3), new Chart.Point(1024, 1.5))),
                            new Chart.Line("b", List.of(new Chart.Point(4, 0.2), new Chart.Point(1024, 2.5))))),
            new Chart.Timeline(
                    HOSTILE,
                    "",
                    List.of("rank 0", HOSTILE),
                    List.of(new Chart.Span(0, "load", 0, 1.5), new Chart.Span(1, HOSTILE, 0.5, 2))),
            new Chart.HeatMap(
                    "Heat", "", List.of("rank 0", "rank 1"), 0.01, List.of(List.of(0.0, 0.5, 1.0), List.of(0.25))),
            new Chart.Bars(
                    "Bars",
                    "",
                    "s",
                    List.of("rank 0", "rank 1"),
                    List.of(new Chart.Part("own", List.of(1.0, 2.0)), new Chart.Part("waits", List.of(0.5, 0.0)))));

    @TempDir
    private Path folder;

    private static Page page() {
        Page page = Page.titled(HOSTILE, HOSTILE)
                .fact("1", HOSTILE)
                .machine(
                        "Machine",
                        "",
                        ProcessGrid.of(8, ParallelSizes.tensor(2).withPipeline(2), RankOrder.DEFAULT),
                        10,
                        List.of(HOSTILE, "b"))
                .table("Table", "", List.of("a", HOSTILE), List.of(List.of(HOSTILE, "2")))
                .text("Text", "", HOSTILE);
        CHARTS.forEach(page::chart);
        return page;
    }

    @Test
    void nothingIsLoadedFromAnywhere() {
        assertThat(page().html())
                .doesNotContainPattern("(?:src|href)\\s*=\\s*[\"']?(?:https?:)?//")
                .doesNotContain("@import");
    }

    @Test
    void textFromOutsideStaysText() {
        assertThat(page().html()).doesNotContain("<img src=x").contains("&lt;/script&gt;&lt;img", "\\u003c/script>");
    }

    @Test
    void aPageWithoutChartsCarriesNoScript() {
        String html = Page.titled("a", "b").fact("1", "one").html();
        assertThat(html).doesNotContain("<script").contains("<b>1</b><span>one</span></div></div>");
        assertThat(html.length()).isLessThan(10_000);
    }

    @Test
    void everyReplicaStageAndRankIsDrawn() {
        String html = page().html();
        assertThat(html.split("class=\"replica\"", -1)).hasSize(3);
        assertThat(html.split("class=\"stage\"", -1)).hasSize(5);
        assertThat(html.split("class=\"rank\"", -1)).hasSize(9);
        assertThat(html).contains("layers 0–4", "layers 5–9");
    }

    @Test
    void aBrowserDrawsEveryChart() throws Exception {
        String dom = inBrowser(page().html());

        assertThat(dom).contains("<title>&lt;/script&gt;"); // what the names would have changed
        assertThat(Pattern.compile("<svg").matcher(dom).results().count()).isEqualTo(CHARTS.size());
        for (String chart : dom.split("<div class=\"chart\"", -1)) {
            if (chart.contains("data-drawn")) {
                assertThat(Pattern.compile("<(?:path|rect)[^>]* fill=\"#")
                                        .matcher(chart)
                                        .results()
                                        .count()
                                + Pattern.compile("<path[^>]* stroke=\"#")
                                        .matcher(chart)
                                        .results()
                                        .count())
                        .as(chart)
                        .isGreaterThan(2);
            }
        }
    }

    /** The document after its scripts have run. */
    private String inBrowser(String html) throws IOException, InterruptedException {
        Path browser = Stream.of("chromium", "chromium-browser", "google-chrome")
                .map(name -> Path.of("/usr/bin", name))
                .filter(Files::isExecutable)
                .findFirst()
                .orElseGet(() -> abort("no Chromium in /usr/bin: nothing draws the page here"));
        Path file = Files.writeString(folder.resolve("page.html"), html);
        Path errors = folder.resolve("stderr");
        Process process = new ProcessBuilder(
                        browser.toString(),
                        "--headless",
                        "--no-sandbox",
                        "--disable-gpu",
                        "--disable-background-networking",
                        "--disable-component-update",
                        "--disable-sync",
                        "--no-first-run",
                        "--user-data-dir=" + folder.resolve("profile"),
                        "--window-size=1100,2400",
                        "--virtual-time-budget=5000",
                        "--dump-dom",
                        file.toUri().toString())
                .redirectError(errors.toFile())
                .start();
        String dom = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(dom).as(Files.readString(errors)).isNotBlank();
        return dom;
    }
}
