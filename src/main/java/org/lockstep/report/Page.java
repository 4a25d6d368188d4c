package org.lockstep.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import org.lockstep.topology.ProcessGrid;

/**
 * A page being written, from top to bottom; {@link #html} is the page. It loads nothing from anywhere, and may stand inside
 * another page. Mutable; confined to one thread.
 */
public final class Page {
    private static final String ECHARTS = "/META-INF/resources/webjars/echarts/5.3.1/dist/echarts.min.js";

    private final ObjectMapper mapper = new ObjectMapper();
    private final String title;
    private final StringBuilder body = new StringBuilder();
    private boolean charts;
    private boolean facts;

    private Page(String title) {
        this.title = title;
    }

    /** A page of this title, with a sentence below it. */
    public static Page titled(String title, String subtitle) {
        Page page = new Page(title);
        page.body
                .append("<header><h1>")
                .append(escape(title))
                .append("</h1><p>")
                .append(escape(subtitle))
                .append("</p></header>\n");
        return page;
    }

    /** Text as it may stand in HTML, in attributes too. */
    static String escape(String text) {
        StringBuilder safe = new StringBuilder(text.length() + 16);
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '&' -> safe.append("&amp;");
                case '<' -> safe.append("&lt;");
                case '>' -> safe.append("&gt;");
                case '"' -> safe.append("&quot;");
                case '\'' -> safe.append("&#39;");
                default -> safe.append(c);
            }
        }
        return safe.toString();
    }

    /** A number to remember, beside those written just before. */
    public Page fact(String value, String label) {
        if (!facts) {
            body.append("<div class=\"facts\">");
            facts = true;
        }
        body.append("<div><b>")
                .append(escape(value))
                .append("</b><span>")
                .append(escape(label))
                .append("</span></div>");
        return this;
    }

    private void section(String heading, String note) {
        if (facts) {
            body.append("</div>\n");
            facts = false;
        }
        body.append("<section><h2>").append(escape(heading)).append("</h2>");
        if (!note.isEmpty()) {
            body.append("<p class=\"note\">").append(escape(note)).append("</p>");
        }
    }

    /** A chart. */
    public Page chart(Chart chart) {
        section(chart.title(), chart.note());
        charts = true;
        body.append("<div class=\"chart\" style=\"height:")
                .append(chart.height())
                .append("px\" data-kind=\"")
                .append(chart.getClass().getSimpleName().toLowerCase(Locale.ROOT))
                .append("\"><script type=\"application/json\">")
                .append(json(chart))
                .append("</script></div></section>\n");
        return this;
    }

    /** A table; its cells are text. */
    public Page table(String heading, String note, List<String> columns, List<List<String>> rows) {
        section(heading, note);
        body.append("<div class=\"wide\"><table><thead><tr>");
        columns.forEach(column -> body.append("<th>").append(escape(column)).append("</th>"));
        body.append("</tr></thead><tbody>");
        for (List<String> row : rows) {
            body.append("<tr>");
            row.forEach(cell -> body.append("<td>").append(escape(cell)).append("</td>"));
            body.append("</tr>");
        }
        body.append("</tbody></table></div></section>\n");
        return this;
    }

    /**
     * The picture of a machine: its replicas, in them pipeline stages as rows and tensor ranks as boxes.
     *
     * @param layers of the model, 0 where there is none
     * @param places what a box says below its rank, by rank; empty where places are not known
     * @param marked ranks whose boxes stand out
     */
    public Page machine(
            String heading, String note, ProcessGrid grid, int layers, List<String> places, Set<Integer> marked) {
        section(heading, note);
        body.append(MachineBoxes.html(grid, layers, places, marked)).append("</section>\n");
        return this;
    }

    /** Text of a fixed width. */
    public Page text(String heading, String note, String text) {
        section(heading, note);
        body.append("<pre>").append(escape(text)).append("</pre></section>\n");
        return this;
    }

    /** JSON that may stand inside a script element: it cannot end one. */
    private String json(Chart chart) {
        try {
            return mapper.writeValueAsString(chart).replace("<", "\\u003c");
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("a chart is a tree of lists, numbers and strings", impossible);
        }
    }

    /** The page, whole. */
    public String html() {
        String end = facts ? "</div>\n" : "";
        String scripts = charts
                ? "<script>" + resource(ECHARTS) + "</script>\n<script>" + resource("charts.js") + "</script>\n"
                : "";
        return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escape(title)
                + "</title>\n<meta name=\"viewport\" content=\"width=device-width\"><style>\n" + resource("page.css")
                + "</style></head>\n<body><main class=\"lockstep\">\n" + body + end + "</main>\n" + scripts
                + "</body></html>\n";
    }

    private static String resource(String name) {
        try (InputStream in = Page.class.getResourceAsStream(name)) {
            return new String(
                    Objects.requireNonNull(in, () -> name + " is not on the class path")
                            .readAllBytes(),
                    StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
