package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;

@Timeout(180)
class BenchInferenceCommandTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What repeats quickly: nothing here depends on how fast it is. */
    private static final List<String> QUICK = List.of("-p", "9", "-n", "5", "-b", "1,3", "-r", "2", "-t", "1");

    @TempDir
    Path folder;

    private Path config() throws IOException {
        Path tiny = Files.createDirectories(folder.resolve("tiny"));
        return Files.writeString(tiny.resolve("config.json"), """
                {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
                 "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 101,
                 "max_position_embeddings": 256}
                """);
    }

    @ParameterizedTest
    @CsvSource({"1,1,1", "2,1,1", "1,2,1", "1,1,2", "2,2,1"})
    void everySplitIsMeasured(int tensor, int pipeline, int data) throws IOException {
        List<JsonNode> lines = json(run(
                "--config",
                config().toString(),
                "-tp",
                "" + tensor,
                "-pp",
                "" + pipeline,
                "-dp",
                "" + data,
                "--engine",
                "--json"));
        assertThat(lines.stream()
                        .map(line -> line.get("test").textValue() + " " + line.get("batch") + " " + line.get("depth")))
                .containsExactly("pp9 1 0", "tg 1 0", "tg 3 128", "generate 1 0", "generate 3 0");
        for (JsonNode line : lines) {
            assertLine(line);
            assertThat(line.get("peer").textValue())
                    .isEqualTo("lockstep" + (tensor > 1 ? "-tp" + tensor : "") + (pipeline > 1 ? "-pp" + pipeline : "")
                            + (data > 1 ? "-dp" + data : ""));
            assertThat(line.get("model").textValue()).isEqualTo("tiny");
            assertThat(line.get("quant").textValue()).isEqualTo("bf16");
            assertThat(line.get("tp").intValue()).isEqualTo(tensor);
            assertThat(line.get("pp").intValue()).isEqualTo(pipeline);
            assertThat(line.get("dp").intValue()).isEqualTo(data);
        }
    }

    private static void assertLine(JsonNode line) {
        String test = line.get("test").textValue();
        assertThat(line.get("tps").doubleValue()).as(test).isPositive();
        assertThat(line.get("best_tps").doubleValue())
                .isGreaterThanOrEqualTo(line.get("tps").doubleValue());
        double shares = 0;
        for (String part : List.of("kernels", "collectives", "waiting")) {
            assertThat(line.get(part).doubleValue()).as(part).isBetween(0.0, 1.0);
            shares += line.get(part).doubleValue();
        }
        assertThat(shares).isCloseTo(1, within(0.01));
        if (!test.equals("tg")) {
            assertRising(line.get("ttft_ms"));
        }
        if (!test.startsWith("pp")) {
            assertRising(line.get("itl_ms"));
        }
        if (!test.equals("generate")) {
            for (String part : List.of("weight_bytes", "cache_bytes", "activation_bytes")) {
                assertThat(line.get(part).longValue()).as(part).isPositive();
            }
        }
    }

    private static void assertRising(JsonNode percentiles) {
        double p50 = percentiles.get("p50").doubleValue();
        double p90 = percentiles.get("p90").doubleValue();
        assertThat(p50).isPositive().isLessThanOrEqualTo(p90);
        assertThat(p90).isLessThanOrEqualTo(percentiles.get("p99").doubleValue());
    }

    @Test
    void everyCombinationHasATable() throws IOException {
        Run run = run("--config", config().toString(), "--dtype", "float32,float16", "-tp", "1,2", "-d", "7");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.err()).isEmpty();
        List<String> titles =
                run.out().lines().filter(line -> line.startsWith("# tiny")).toList();
        assertThat(titles).hasSize(4);
        assertThat(titles.get(0)).contains("random, f32, 2 layers", "tensor 1 × pipeline 1 × data 1");
        assertThat(titles.get(3)).contains("random, f16", "tensor 2 × pipeline 1 × data 1");
        List<String> rows =
                run.out().lines().filter(line -> !line.startsWith("#")).toList();
        assertThat(rows).hasSize(12);
        assertThat(rows.get(0)).matches("\\s+pp9\\s+1\\s+0(\\s+[0-9.]+){3}(\\s+-){3}(\\s+[0-9.]+%){3}\\s+.*");
        assertThat(rows.get(2)).matches("\\s+tg\\s+3\\s+7(\\s+[0-9.]+){2}\\s+-(\\s+[0-9.]+){3}(\\s+[0-9.]+%){3}\\s+.*");
    }

    @Test
    void settingsMayHaveAnyName() throws IOException {
        Path named = Files.copy(config(), folder.resolve("llama-small.json"));
        List<JsonNode> lines = json(run("--config", named.toString(), "--json"));
        assertThat(lines).hasSize(3);
        assertThat(lines.get(0).get("model").textValue()).isEqualTo("llama-small");
        assertThat(run("--config", folder.resolve("none.json").toString()).err())
                .contains("MODEL_NOT_FOUND", "there is no file");
    }

    @Test
    void withoutAModelTheBundledOneIsMeasuredAsStored() throws IOException {
        List<JsonNode> lines = json(run("--json"));
        assertThat(lines).hasSize(3);
        assertThat(lines.get(0).get("model").textValue()).isEqualTo("fable");
        lines.forEach(BenchInferenceCommandTest::assertLine);
    }

    @Test
    void rowsAreCompletedByTheEngineInBatchesAndByAJobWithTheSameTexts() throws IOException {
        Run run = Run.of(
                "bench",
                "inference",
                "--rows",
                "11",
                "-p",
                "9",
                "-n",
                "5",
                "--output-lengths",
                "exponential",
                "-b",
                "1,3",
                "-dp",
                "2",
                "-r",
                "2",
                "-t",
                "1",
                "--json");
        List<JsonNode> lines = json(run);
        assertThat(run.err())
                .contains("11 rows, prompts of 1 to 9 letters, outputs of 1 to 5 tokens (exponential), 3 at once");
        assertThat(lines.stream().map(line -> line.get("test").textValue()))
                .containsExactly("engine", "batches", "generate");
        for (JsonNode line : lines) {
            assertThat(line.get("tps").doubleValue()).isPositive();
            assertThat(line.get("of_engine").doubleValue()).isPositive();
            assertThat(line.get("rows").intValue()).isEqualTo(11);
            assertThat(line.get("tokens").intValue()).isBetween(11, 55);
            assertThat(line.get("dp").intValue()).isEqualTo(2);
        }
        assertThat(lines.get(0).get("of_engine").doubleValue()).isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource({"f32,pp6 1;tg 1;tg 2", "bf16,pp6 1;tg 1;tg 2", "f16,pp6 1;tg 1;tg 2", "q4_0,''", "q5_k,''"})
    void theHookReadsItsEnvironmentAndPrintsNothingForWhatThereIsNot(String quant, String tests) throws IOException {
        String fable = fable().toString();
        Run run = hook(Map.of(
                "MODEL", "small",
                "QUANT", quant,
                "MODEL_F32", fable,
                "MODEL_BF16", fable,
                "PP", "6",
                "TG", "4",
                "BATCHES_TO_TRY", "1 2",
                "REPETITIONS", "1",
                "THREADS", "2"));
        List<JsonNode> lines = json(run);
        assertThat(lines.stream().map(line -> line.get("test").textValue() + " " + line.get("batch")))
                .containsExactlyElementsOf(tests.isEmpty() ? List.of() : List.of(tests.split(";")));
        for (JsonNode line : lines) {
            assertLine(line);
            assertThat(line.get("peer").textValue()).isEqualTo("lockstep");
            assertThat(line.get("model").textValue()).isEqualTo("small");
            assertThat(line.get("quant").textValue()).isEqualTo(quant);
            assertThat(line.get("threads").intValue()).isEqualTo(2);
        }
    }

    @Test
    void theHookPrintsNothingWhereTheModelIsNotThere() throws IOException {
        assertThat(json(hook(Map.of("QUANT", "f32", "MODEL_F32", "", "MODEL_BF16", fable().toString()))))
                .isEmpty();
        assertThat(hook(Map.of()).err()).contains(ErrorCode.USAGE.label(), "QUANT is not in the environment");
    }

    private static Path fable() {
        return Path.of("src/main/resources/org/lockstep/models/fable");
    }

    private static Run hook(Map<String, String> environment) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        Screen screen = new Screen(new PrintWriter(out), new PrintWriter(err), false);
        int code = BenchCommand.commandLine(screen, () -> false, environment)
                .setExecutionExceptionHandler((failure, command, words) -> {
                    screen.err().println(failure.getMessage());
                    return 2;
                })
                .execute("inference", "--hook");
        screen.flush();
        return new Run(code, out.toString(), err.toString());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "-p 0 -n 0 | neither a prompt nor output",
                "-p -1 | --prompt-len (-1) is not in 0..",
                "-b 0 | --batch-size (0) is not in 1..",
                "-r 0 | --repetitions (0) is not in 1..",
                "-t 0 | --threads (0) is not in 1..",
                "-tp 0 | --tensor-parallel-size (0) is not in 1..",
                "-n 0 --engine | --engine completes prompts",
                "--rows 0 | --rows (0) is not in 1..",
                "--rows 9 --config a | --rows is for a model with a tokenizer",
                "--rows 9 -p 0 | --rows completes prompts",
                "--rows 9 --engine | not with --engine",
                "--rows 9 -p 500 | sequences of 564 tokens are longer than the model's",
                "-p 100000 | are longer than the model's",
                "--model a --config b | not both",
                "-tp 3 | num_attention_heads (8) is not divisible by tensor (3)",
                "--model /nowhere | the model folder /nowhere does not exist",
            })
    void misuseIsToldBeforeAnythingIsMeasured(String words, String message) {
        List<String> all = new ArrayList<>(List.of("bench", "inference"));
        all.addAll(List.of(words.split(" ")));
        Run run = Run.of(all.toArray(String[]::new));
        assertThat(run.code()).isIn(2, 3);
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).contains(message).doesNotContain("\tat ");
    }

    @ParameterizedTest
    @CsvSource({"-n 3 inference,--iters", "all-reduce inference,OP"})
    void whatIsForGroupsIsNotSilentlyDropped(String words, String stray) {
        List<String> all = new ArrayList<>(List.of("bench"));
        all.addAll(List.of(words.split(" ")));
        Run run = Run.of(all.toArray(String[]::new));
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.err()).contains(stray, "stands before 'inference'");
    }

    @Test
    void helpSaysWhatIsMeasured() {
        Run run = Run.of("bench", "inference", "--help");
        assertThat(run.code()).isZero();
        assertThat(run.out())
                .contains("Usage: lockstep bench inference", "llama-bench", "empty cache", "128 tokens", "Examples:");
        assertThat(Run.of("bench", "--help").out()).contains("inference");
        assertThat(Run.of("--verbose", "bench", "inference", "-p", "-1").err()).contains("--prompt-len (-1)");
    }

    private static Run run(String... words) {
        List<String> all = new ArrayList<>(List.of("bench", "inference"));
        all.addAll(QUICK);
        all.addAll(List.of(words));
        return Run.of(all.toArray(String[]::new));
    }

    private static List<JsonNode> json(Run run) throws IOException {
        assertThat(run.code()).as(run.err()).isZero();
        List<JsonNode> lines = new ArrayList<>();
        for (String line : run.out().lines().toList()) {
            lines.add(JSON.readTree(line));
        }
        return lines;
    }
}
