package org.lockstep.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A headless Chromium that has no network, with a profile of its own in {@code folder}. */
public record Browser(Path chromium, Path folder) {
    private static final Pattern FILLED = Pattern.compile("<(?:path|rect)[^>]* fill=\"(?:#|rgb)");
    private static final Pattern DRAWN = Pattern.compile("<path[^>]* stroke=\"(?:#|rgb)");
    private static final Pattern SECTION = Pattern.compile("<section><h2>(.*?)</h2>.*?</section>", Pattern.DOTALL);

    /** The one of this machine; where there is none the test is skipped, aloud. */
    public static Browser of(Path folder) {
        Path chromium = Stream.of("chromium", "chromium-browser", "google-chrome")
                .map(name -> Path.of("/usr/bin", name))
                .filter(Files::isExecutable)
                .findFirst()
                .orElseGet(() -> abort("no Chromium in /usr/bin: nothing draws the page here"));
        return new Browser(chromium, folder);
    }

    /**
     * A page whose scripts have run.
     *
     * @param dom the document as it is then
     * @param errors what its scripts wrote to the console, or threw
     */
    public record Drawn(String dom, List<String> errors) {
        /** Its sections by heading, in order. */
        public Map<String, String> sections() {
            Map<String, String> sections = new LinkedHashMap<>();
            SECTION.matcher(dom).results().forEach(found -> sections.put(found.group(1), found.group()));
            return sections;
        }

        /** How many marks, areas and strokes with a colour, the SVG of each chart has, by the heading of its section. */
        public Map<String, Long> charts() {
            Map<String, Long> charts = new LinkedHashMap<>();
            sections().forEach((heading, section) -> {
                if (section.contains("data-drawn") && section.contains("<svg")) {
                    charts.put(heading, count(FILLED, section) + count(DRAWN, section));
                }
            });
            return charts;
        }

        private static long count(Pattern mark, String text) {
            return mark.matcher(text).results().count();
        }
    }

    /** Opens a page and lets its scripts run. */
    public Drawn draw(String html) throws IOException, InterruptedException {
        Path file = Files.writeString(folder.resolve("page.html"), html);
        Path log = folder.resolve("browser.log");
        String dom =
                run(log, "--dump-dom", "--enable-logging=stderr", file.toUri().toString());
        assertThat(dom).as(Files.readString(log)).isNotBlank();
        List<String> errors = Files.readString(log)
                .lines()
                .filter(line -> line.contains(":CONSOLE"))
                .toList();
        return new Drawn(dom, errors);
    }

    /** What a person sees of a page, as a PNG beside it. */
    public Path look(String html, int height) throws IOException, InterruptedException {
        Path file = Files.writeString(folder.resolve("page.html"), html);
        Path picture = folder.resolve("page.png");
        run(
                folder.resolve("browser.log"),
                "--hide-scrollbars",
                "--window-size=1100," + height,
                "--screenshot=" + picture,
                file.toUri().toString());
        return picture;
    }

    private String run(Path log, String... more) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                chromium.toString(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--user-data-dir=" + folder.resolve("profile"),
                "--window-size=1100,2400",
                "--virtual-time-budget=5000"));
        command.addAll(List.of(more));
        Process process =
                new ProcessBuilder(command).redirectError(log.toFile()).start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        return out;
    }
}
