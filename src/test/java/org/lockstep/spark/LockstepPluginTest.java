package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.metrics.LockstepPlugin;

/** A sink of Spark's own shows what ranks did. */
@Timeout(180)
class LockstepPluginTest {
    private static final Pattern OURS = Pattern.compile(".*LockstepPlugin\\.(.*)\\.csv");
    private static final Pattern LINE = Pattern.compile("\\d+,(\\d+)"); // seconds, count

    @TempDir
    Path folder;

    /** The last value of each of our metrics, by the end of its name. */
    private Map<String, Long> figures() {
        Map<String, Long> figures = new HashMap<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Matcher name = OURS.matcher(file.getFileName().toString());
                if (name.matches()) {
                    List<String> lines = Files.readAllLines(file);
                    Matcher last = LINE.matcher(lines.isEmpty() ? "" : lines.get(lines.size() - 1));
                    if (last.matches()) {
                        figures.put(name.group(1), Long.parseLong(last.group(1)));
                    }
                }
            }
            return figures;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void aGenerationIsAmongTheMetricsOfTheDriver() throws Exception {
        String sink = "spark.metrics.conf.driver.sink.csv.";
        try (SparkSession session = Sessions.with(Map.of(
                        "spark.master",
                        "local[4]",
                        "spark.plugins",
                        LockstepPlugin.class.getName(),
                        sink + "class",
                        "org.apache.spark.metrics.sink.CsvSink",
                        sink + "period",
                        "1",
                        sink + "unit",
                        "seconds",
                        sink + "directory",
                        folder.toString()));
                Llm llm = Llm.bundled(session).tensorParallel(2).pipelineParallel(2)) {
            SamplingParams eight = SamplingParams.greedy().withMaxTokens(8).withIgnoreEos(true);
            llm.generate(List.of("Once upon a time", "The fox"), eight);
            llm.generate(List.of("Long ago"), eight);

            await().atMost(Duration.ofSeconds(60)).untilAsserted(() -> {
                Map<String, Long> figures = figures();
                assertThat(figures)
                        .containsEntry("rowsDone", 3L)
                        .containsEntry("rowsFailed", 0L)
                        .containsEntry("outputTokens", 24L)
                        .containsEntry("replica0.rows", 3L)
                        .containsEntry("replica0.outputTokens", 24L);
                assertThat(figures.getOrDefault("promptTokens", 0L)).isPositive();
                for (String group : List.of("tp", "pp", "model", "tp.all_reduce", "pp.send")) {
                    for (String what : List.of("operations", "bytes", "nanos", "waitNanos")) {
                        assertThat(figures.getOrDefault(group + "." + what, 0L))
                                .as(group + " " + what)
                                .isPositive();
                    }
                }
            });
        }
    }
}
