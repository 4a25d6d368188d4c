package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import picocli.CommandLine;

class PlanCommandTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Test
    void theWholeObject() {
        assertThat(Run.of("plan", "--world-size", "4", "-tp", "2", "-pp", "2", "--json")
                        .out()
                        .strip())
                .isEqualTo("{\"worldSize\":4,\"order\":\"tp-cp-ep-dp-pp\","
                        + "\"sizes\":{\"tp\":2,\"cp\":1,\"ep\":1,\"dp\":1,\"pp\":2},"
                        + "\"groups\":{\"tp\":[[0,1],[2,3]],\"pp\":[[0,2],[1,3]],\"dp\":[[0],[1],[2],[3]],"
                        + "\"model\":[[0,1,2,3]],\"embedding\":[[0,2],[1,3]],\"positionEmbedding\":[[0],[1]]},"
                        + "\"ranks\":[{\"rank\":0,\"tp\":0,\"cp\":0,\"dp\":0,\"pp\":0},"
                        + "{\"rank\":1,\"tp\":1,\"cp\":0,\"dp\":0,\"pp\":0},"
                        + "{\"rank\":2,\"tp\":0,\"cp\":0,\"dp\":0,\"pp\":1},"
                        + "{\"rank\":3,\"tp\":1,\"cp\":0,\"dp\":0,\"pp\":1}]}");
    }

    @Test
    void theSeedsWorlds() throws IOException {
        int checked = 0;
        for (JsonNode row : table("seed.jsonl.gz")) {
            if (row.has("error") || row.get("world").intValue() < 12) {
                continue;
            }
            checked++;
            List<String> args = arguments("--world-size", row.get("world"), "-tp", row.get("tp"), "-pp", row.get("pp"));
            addIfSet(args, "--virtual-pipeline-parallel-size", row.get("vpp"));
            addIfSet(args, "--split-rank", row.get("split"));
            JsonNode groups = plan(args).get("groups");
            for (Map.Entry<String, String> column : Map.of(
                            "model", "model", "embedding", "emb", "positionEmbedding", "posemb")
                    .entrySet()) {
                TreeSet<String> seen = new TreeSet<>();
                row.get("ranks")
                        .forEach(rank -> seen.add(rank.get(column.getValue()).toString()));
                seen.removeIf(group -> !group.startsWith("["));
                TreeSet<String> ours = new TreeSet<>();
                groups.get(column.getKey()).forEach(group -> ours.add(group.toString()));
                assertThat(ours).as("%s of %s", column, args).isEqualTo(seen);
            }
        }
        assertThat(checked).isPositive();
    }

    @Test
    void megatronsGroupsOfAnyAxesOrderAndOffset() throws IOException {
        int checked = 0;
        for (JsonNode row : table("megatron.jsonl.gz")) {
            if (row.has("error") || !row.get("view").textValue().equals("dense") || checked++ % 3 != 0) {
                continue;
            }
            List<String> args = arguments("-tp", row.get("tp"), "-cp", row.get("cp"), "-dp", row.get("dp"));
            args.addAll(
                    arguments("-pp", row.get("pp"), "--order", row.get("order"), "--rank-offset", row.get("offset")));
            args.add("--groups="
                    + String.join(
                            ",", (Iterable<String>) () -> row.get("groups").fieldNames()));
            JsonNode plan = plan(args);
            row.get("groups")
                    .fields()
                    .forEachRemaining(group -> assertThat(plan.get("groups").get(group.getKey()))
                            .as("%s of %s", group.getKey(), args)
                            .isEqualTo(group.getValue()));
            assertThat(plan.get("ranks").get(0).get("rank")).isEqualTo(row.get("offset"));
        }
        assertThat(checked).isGreaterThan(100);
    }

    @Test
    void megatronsExpertGroups() throws IOException {
        Map<String, String> names =
                Map.of("tp", "etp", "ep", "ep", "dp", "edp", "pp", "pp", "tp-ep", "etp-ep", "tp-ep-pp", "etp-ep-pp");
        int checked = 0;
        for (JsonNode row : table("megatron.jsonl.gz")) {
            if (row.has("error")
                    || !row.get("view").textValue().equals("expert")
                    || !row.get("order").textValue().equals("tp-cp-ep-dp-pp")) {
                continue;
            }
            int world = 1;
            for (String axis : List.of("tp", "ep", "dp", "pp")) {
                world *= row.get(axis).intValue();
            }
            List<String> args = arguments("--world-size", world, "-ep", row.get("ep"), "-etp", row.get("tp"));
            args.addAll(arguments("-pp", row.get("pp"), "--rank-offset", row.get("offset"), "--expert"));
            JsonNode plan = plan(args);
            names.forEach((theirs, ours) -> {
                if (row.get("groups").has(theirs)) {
                    assertThat(plan.get("expertGroups").get(ours))
                            .as("%s of %s", ours, args)
                            .isEqualTo(row.get("groups").get(theirs));
                }
            });
            assertThat(plan.get("sizes").get("edp")).isEqualTo(row.get("dp"));
            checked++;
        }
        assertThat(checked).isGreaterThan(5);
    }

    @Test
    void thePictureStandsAboveTheGroups() {
        Run run = Run.of("plan", "--world-size", "16", "-tp", "2", "-pp", "4", "--gpus-per-host", "8", "--layers", "8");
        assertThat(run.code()).isZero();
        assertThat(run.err()).isEmpty();
        assertThat(run.out().lines())
                .startsWith(
                        "16 ranks = tensor 2 × pipeline 4 × data 2, on 2 hosts",
                        "replica 0",
                        "  pipeline stage 0  layers 0-1   rank  0  rank  1   host-0: 0 1")
                .contains(
                        "groups across hosts",
                        "  tp     none of 8",
                        "  model  2 of 2: {0,1,4,5,8,9,12,13} on host-0, host-1; {2,3,6,7,10,11,14,15} on host-0, host-1",
                        "groups",
                        "  pp                 4 of 4 ranks: {0,4,8,12} {1,5,9,13} {2,6,10,14} {3,7,11,15}")
                .endsWith(
                        "transports, one executor a host assumed",
                        "  tp     8 of 2 ranks: threads of one JVM",
                        "  pp     4 of 4 ranks: threads 8 pairs, tcp 16 pairs",
                        "  dp     8 of 2 ranks: threads of one JVM",
                        "  model  2 of 8 ranks: threads 24 pairs, tcp 32 pairs");
    }

    @Test
    void thePictureHasHostsAlsoWhereNoneAreGivenAndSaysWhich() throws IOException {
        assertThat(Run.of("plan", "--world-size", "16", "-tp", "2", "-pp", "4")
                        .out()
                        .lines())
                .startsWith(
                        "16 ranks = tensor 2 × pipeline 4 × data 2, on 2 hosts of 8 GPUs (--gpus-per-host)",
                        "replica 0",
                        "  pipeline stage 0   rank  0  rank  1   host-0: 0 1")
                .contains("groups across hosts", "  tp     none of 8");
        assertThat(plan(arguments("-tp", 2)).has("groupsAcrossHosts")).isFalse();
        assertThat(plan(arguments("-tp", 2)).has("transports")).isFalse();
    }

    @Test
    void hostsAndLayersInTheObject() throws IOException {
        JsonNode plan = plan(arguments("-tp", 2, "-pp", 2, "--gpus-per-host", 2, "--layers", 5));
        assertThat(plan.get("ranks").get(3))
                .hasToString(
                        "{\"rank\":3,\"tp\":1,\"cp\":0,\"dp\":0,\"pp\":1,\"host\":\"host-1\",\"gpu\":1,\"layers\":[3,4]}");
        assertThat(plan.get("groupsAcrossHosts").get("tp")).isEmpty();
        assertThat(plan.get("groupsAcrossHosts").get("pp")).hasToString("[0,1]");
        assertThat(plan.get("transports").get("tp")).hasToString("{\"thread\":2,\"shared\":0,\"tcp\":0}");
        assertThat(plan.get("transports").get("model")).hasToString("{\"thread\":2,\"shared\":0,\"tcp\":4}");
    }

    @ParameterizedTest
    @CsvSource({
        "-tp 2 -pp 3, 6, 1",
        "-tp 2 -dp 5, 10, 5",
        "-ep 4, 4, 4",
        "-tp 2 -ep 3 -etp 1 -pp 2, 12, 3",
        "--world-size 12 -pp -1 -tp 2, 12, 1",
        "--tensor-parallel-size=2 --pipeline-parallel-size=2 --data-parallel-size=2 --context-parallel-size=2, 16, 2",
    })
    void theWorldFollowsFromTheSizesOrOneSizeFromTheWorld(String words, int world, int replicas) throws IOException {
        JsonNode plan = plan(List.of(words.split(" ")));
        assertThat(plan.get("worldSize").intValue()).isEqualTo(world);
        assertThat(plan.get("sizes").get("dp").intValue()).isEqualTo(replicas);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--world-size 6 -tp 4 | WORLD_SIZE | world size (6) is not divisible by tensor (4) × pipeline (1)",
                "--world-size 8 -tp 2 -dp 3 | WORLD_SIZE | world size (8) is not equal to tensor (2) × pipeline (1) × data (3)",
                "--world-size 0 | WORLD_SIZE | world size (0) must be at least 1",
                "-tp 0 | WORLD_SIZE | tensor size (0) must be at least 1, or -1 to infer it",
                "-tp -1 | WORLD_SIZE | a size of -1 needs --world-size",
                "-tp 100000 -pp 100000 | WORLD_SIZE | is out of range",
                "-tp 2147483647 -cp 2147483647 -pp 2147483647 | WORLD_SIZE | is out of range",
                "-tp 2 --rank-offset -1 | WORLD_SIZE | rank offset (-1)",
                "-pp 2 --split-rank 2 | WORLD_SIZE | split rank (2) must be less than pipeline (2)",
                "-tp 2 --order pp-dp | WORLD_SIZE | order pp-dp does not name axis tp, which has size 2",
                "--order tp-xp | USAGE | unknown axis 'xp'",
                "--groups tp-tp | USAGE | axis tp is named twice in 'tp-tp'",
                "-pp 4 --layers 3 | MODEL_SHAPE | layers (3) are too few for pipeline (4)",
                "--world-size 2000000000 -tp 2 | USAGE | world size (2000000000) is more ranks than a plan lists: 10000000",
                "--gpus-per-host 0 | USAGE | --gpus-per-host (0) must be at least 1",
                "-cp 2 -pp 2 --order tp-cp-pp-dp --expert --json | WORLD_SIZE | pipelines of the dense and the expert view",
            })
    void whatCannotBeIsCodeTwoWithTheEquation(String words, ErrorCode code, String message) {
        Run run = Run.of(("plan " + words).split(" "));
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).startsWith(code.label()).contains(message).doesNotContain("\tat ");
    }

    @Test
    @Timeout(60)
    void aHundredThousandRanks() throws IOException {
        JsonNode plan =
                plan(arguments("--world-size", 100_000, "-tp", 8, "-pp", 125, "--layers", 126, "--gpus-per-host", 8));
        assertThat(plan.get("ranks")).hasSize(100_000);
        assertThat(plan.get("groups").get("pp")).hasSize(800);
        assertThat(Run.of("plan", "--world-size", "100000", "-dp", "100000", "--gpus-per-host", "8")
                        .out())
                .hasSizeLessThan(10_000);
    }

    /** In a JVM of its own that has no class of Spark or Scala. */
    @Test
    @Timeout(60)
    void neitherSparkNorScalaIsNeeded() throws Exception {
        String jars = String.join(
                File.pathSeparator, place(Lockstep.class), place(CommandLine.class), place(JsonFactory.class));
        assertThat(jvm(jars, "plan", "--world-size", "16", "-tp", "2", "-pp", "4", "--json"))
                .contains("\"worldSize\":16");
        assertThat(jvm(jars, "--help")).contains("Usage: lockstep");
    }

    private static String jvm(String classPath, String... args) throws Exception {
        List<String> command = new ArrayList<>(
                List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        command.addAll(List.of("-cp", classPath, Lockstep.class.getName()));
        command.addAll(List.of(args));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(output).isZero();
        return output;
    }

    private static String place(Class<?> type) throws URISyntaxException {
        return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI())
                .toString();
    }

    private static JsonNode plan(List<String> args) throws IOException {
        List<String> words = new ArrayList<>(List.of("plan", "--json"));
        words.addAll(args);
        Run run = Run.of(words.toArray(String[]::new));
        assertThat(run.err()).isEmpty();
        assertThat(run.code()).isZero();
        return JSON.readTree(run.out());
    }

    private static List<String> arguments(Object... words) {
        List<String> args = new ArrayList<>();
        for (Object word : words) {
            args.add(word instanceof JsonNode node ? node.asText() : word.toString());
        }
        return args;
    }

    private static void addIfSet(List<String> args, String option, JsonNode value) {
        if (!value.isNull()) {
            args.addAll(arguments(option, value));
        }
    }

    private static List<JsonNode> table(String name) throws IOException {
        String resource = "/org/lockstep/topology/" + name;
        try (InputStream file = Objects.requireNonNull(PlanCommandTest.class.getResourceAsStream(resource), resource);
                BufferedReader lines =
                        new BufferedReader(new InputStreamReader(new GZIPInputStream(file), StandardCharsets.UTF_8))) {
            List<JsonNode> rows = new ArrayList<>();
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                rows.add(JSON.readTree(line));
            }
            return rows;
        }
    }
}
