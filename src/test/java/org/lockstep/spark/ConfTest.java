package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.lockstep.spark.preflight.ConfFindings;
import org.lockstep.spark.preflight.Finding;
import org.lockstep.spark.settings.Setting;
import org.lockstep.spark.settings.Settings;

/** The configuration that we hand out is one that we accept, and says the defaults that there are. */
@Timeout(120)
class ConfTest {
    private static final Pattern KEY = Pattern.compile("spark\\.lockstep\\.[A-Za-z.]*[A-Za-z]");

    @Test
    void theExampleHoldsEveryKeyWithItsDefault() throws IOException {
        Properties example = new Properties();
        try (Reader file = Files.newBufferedReader(Path.of("conf/spark-defaults.conf"))) {
            example.load(file);
        }
        SparkConf conf = new SparkConf(false);
        example.forEach((key, value) -> conf.set((String) key, (String) value));

        Settings.check(conf);
        for (Setting<?> setting : Settings.all()) {
            assertThat(example.getProperty(setting.key())).as(setting.key()).isEqualTo(setting.fallback());
        }
    }

    private static List<Path> examples(String ending) throws IOException {
        try (Stream<Path> files = Files.walk(Path.of("conf"))) {
            List<Path> found = files.filter(file -> file.toString().endsWith(ending))
                    .sorted()
                    .toList();
            assertThat(found).as(ending).isNotEmpty();
            return found;
        }
    }

    @Test
    void everyKeyInTheExamplesIsOneThatThereIs() throws IOException {
        Set<String> known = Settings.all().stream().map(Setting::key).collect(Collectors.toSet());
        for (Path example : examples("")) {
            if (Files.isRegularFile(example)) {
                assertThat(KEY.matcher(Files.readString(example)).results().map(MatchResult::group))
                        .as(example.toString())
                        .isSubsetOf(known);
            }
        }
    }

    @Test
    void everyScriptIsOne() throws Exception {
        for (Path script : examples(".sh")) {
            Process bash = new ProcessBuilder("bash", "-n", script.toString())
                    .redirectErrorStream(true)
                    .start();
            bash.getOutputStream().close();
            String said = new String(bash.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertThat(bash.waitFor()).as(said).isZero();
            assertThat(script).isExecutable();
            assertThat(Files.readString(script)).startsWith("#!/usr/bin/env bash\n# ");
        }
    }

    @Test
    void aClusterOfDatabricksMayRunUs() throws IOException {
        for (Path example : examples(".json")) {
            JsonNode cluster = new ObjectMapper().readTree(example.toFile());
            SparkConf conf = new SparkConf(false).set("spark.master", "spark://databricks:7077");
            cluster.get("spark_conf")
                    .fields()
                    .forEachRemaining(
                            entry -> conf.set(entry.getKey(), entry.getValue().asText()));
            conf.set("spark.executor.resource.gpu.amount", "4"); // which Databricks sets itself

            assertThat(ConfFindings.of(conf)).noneMatch(finding -> finding.level() == Finding.Level.FAIL);
            assertThat(cluster.get("data_security_mode").asText()).isEqualTo("SINGLE_USER");
            assertThat(cluster.has("autoscale")).isFalse();
        }
    }

    /** A real process, whose log is configured by the file alone. */
    @Test
    void aLineOfTheLogSaysWhichRankWroteIt() throws Exception {
        List<String> command = SparkJvm.shortLived();
        command.addAll(List.of(
                "-Dlog4j2.configurationFile="
                        + Path.of("conf/log4j2.properties").toAbsolutePath(),
                "-cp",
                System.getProperty("java.class.path"),
                RankLog.class.getName()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String log = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

        assertThat(process.waitFor()).as(log).isZero();
        String time = "\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} ";
        String attempt = "\\[attempt [0-9a-f]{8}] ";
        assertThat(log)
                .containsPattern(time + "INFO  RankLog: the driver is no rank\n")
                .containsPattern(time + "WARN  \\[rank 0 of 2] " + attempt + "RankLog: here is 0\n")
                .containsPattern(time + "WARN  \\[rank 1 of 2] " + attempt + "RankLog: here is 1\n")
                .containsPattern(time + "INFO  \\[rank 0 of 2] " + attempt + "RankTask: 2 ranks met in ");
    }
}
