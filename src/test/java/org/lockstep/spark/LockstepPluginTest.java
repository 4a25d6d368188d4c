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
    @TempDir
    Path folder;

    /** The last value of each of our metrics, by the end of its name. */
    private Map<String, Long> figures() {
        Map<String, Long> figures = new HashMap<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(each -> each.toString().contains("LockstepPlugin"))
                    .toList()) {
                List<String> lines = Files.readAllLines(file);
                String last = lines.get(lines.size() - 1);
                String name = file.getFileName().toString().replaceAll(".*LockstepPlugin\\.(.*)\\.csv", "$1");
                if (last.matches("\\d+,\\d+")) {
                    figures.put(name, Long.parseLong(last.split(",", -1)[1]));
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
            llm.generate(
                    List.of("Once upon a time", "The fox"),
                    SamplingParams.greedy().withMaxTokens(8).withIgnoreEos(true));
            await().atMost(Duration.ofSeconds(60)).until(() -> figures().getOrDefault("tp.operations", 0L) > 0);
            Map<String, Long> figures = figures();
            assertThat(figures).containsEntry("outputTokens", 16L).containsEntry("rowsDone", 2L);
            assertThat(figures.get("promptTokens")).isPositive();
            for (String group : List.of("tp")) {
                assertThat(figures.get(group + ".operations")).as(group).isPositive();
                assertThat(figures.get(group + ".bytes")).as(group).isPositive();
                assertThat(figures).containsKey(group + ".waitMillis");
            }
        }
    }
}
