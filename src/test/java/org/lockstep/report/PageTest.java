package org.lockstep.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Set;
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
                        List.of(HOSTILE, "b"),
                        Set.of(3))
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
        assertThat(html.split("class=\"rank\"", -1)).hasSize(8);
        assertThat(html).containsOnlyOnce("class=\"rank marked\"><b>3</b>");
        assertThat(html).contains("layers 0–4", "layers 5–9");
    }

    @Test
    void aBrowserDrawsEveryChart() throws Exception {
        Browser.Drawn drawn = Browser.of(folder).draw(page().html());

        assertThat(drawn.dom()).contains("<title>&lt;/script&gt;"); // what the names would have changed
        assertThat(drawn.errors()).isEmpty();
        assertThat(drawn.charts())
                .hasSize(CHARTS.size())
                .allSatisfy((heading, marks) -> assertThat(marks).as(heading).isGreaterThan(2));
    }
}
