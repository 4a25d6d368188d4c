package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.ErrorCode;
import org.lockstep.inference.SamplingParams;
import org.lockstep.spark.Llm;
import org.lockstep.spark.settings.DeviceChoice;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;
import picocli.CommandLine;

/** Words to values, and what is refused before Spark starts. */
@Timeout(60)
class GenerateCommandTest {
    @TempDir
    private Path folder;

    private static GenerateRequest request(String... words) {
        PrintWriter nowhere = new PrintWriter(new StringWriter());
        GenerateCommand command = new GenerateCommand(new Screen(nowhere, nowhere, false), () -> false);
        new CommandLine(command).setCaseInsensitiveEnumValuesAllowed(true).parseArgs(words);
        return command.request();
    }

    @Test
    void withoutWordsTheBundledModelTellsStories() {
        GenerateRequest request = request();
        assertThat(request.launch().model()).isNull();
        assertThat(request.prompts()).isNull();
        assertThat(request.output()).isNull();
        assertThat(request.launch().sizes()).isEqualTo(ParallelSizes.tensor(2).withPipeline(2));
        assertThat(request.launch().worldSize()).isEqualTo(4);
        assertThat(request.launch().order()).isEqualTo(RankOrder.DEFAULT);
        assertThat(request.params())
                .isEqualTo(SamplingParams.DEFAULT
                        .withTemperature(0.8)
                        .withTopP(0.95)
                        .withMaxTokens(200)
                        .withSeed(0L));
    }

    @Test
    void aModelOfOnesOwnHasTheDefaultsOfVllm() {
        GenerateRequest request = request("--model", "/models/m");
        assertThat(request.launch().sizes()).isEqualTo(ParallelSizes.tensor(1));
        assertThat(request.launch().worldSize()).isEqualTo(1);
        assertThat(request.params()).isEqualTo(SamplingParams.DEFAULT.withSeed(0L));
    }

    @Test
    void theCommandToGoOnIsTheSameWithWhereFrom() {
        ResumeCommand again = new ResumeCommand(
                List.of("generate", "--checkpoint-dir", "old", "--prompts", "it's mine.jsonl", "--resume", "-tp", "2"));
        assertThat(again.from("hdfs:///kept/run"))
                .isEqualTo("lockstep generate --prompts 'it'\\''s mine.jsonl' -tp 2 --checkpoint-dir hdfs:///kept/run"
                        + " --resume");
        assertThat(new ResumeCommand(List.of("generate", "--checkpoint-dir=old")).from("new dir"))
                .isEqualTo("lockstep generate --checkpoint-dir 'new dir' --resume");
    }

    @Test
    void everyWord() {
        GenerateRequest request = request(
                ("--model m --prompts p.jsonl --prompt-column question --sampling-column own --output o.jsonl --report r.html -tp 2 -pp 3 -vpp 2 -dp 4 --ranks 24"
                                + " --order tp-pp-dp --max-tokens 7 --temperature 0.5 --top-p 0.9 --top-k 40 --min-p 0.1"
                                + " --repetition-penalty 1.2 --presence-penalty 0.5"
                                + " --frequency-penalty -0.25 --min-tokens 2 --stop-token-ids 5,6 --include-stop-str-in-output --no-skip-special-tokens"
                                + " --seed -3 --stop . --stop @END --ignore-eos --dtype bfloat16"
                                + " --max-model-len 512 --max-num-seqs 16 --max-num-batched-tokens 1024"
                                + " --block-size 8 --no-enable-prefix-caching"
                                + " --device cuda --gpu-memory-utilization 0.5 --enforce-eager"
                                + " --checkpoint-dir hdfs:///kept --resume --attempts 5 --on-row-error fail"
                                + " --master spark://h:7077 --conf spark.a=b=c --conf spark.d=e")
                        .split(" "));
        assertThat(request)
                .isEqualTo(new GenerateRequest(
                        new LaunchRequest(
                                "m",
                                ParallelSizes.tensor(2)
                                        .withPipeline(3)
                                        .withVirtualPipeline(2)
                                        .withData(4),
                                OptionalInt.of(24),
                                RankOrder.parse("tp-pp-dp"),
                                WeightType.BF16,
                                new LaunchRequest.Limits(
                                        OptionalInt.of(512),
                                        OptionalInt.of(16),
                                        OptionalInt.of(1024),
                                        OptionalInt.of(8),
                                        false),
                                new DeviceRequest(DeviceChoice.CUDA, 0.5, true)),
                        "p.jsonl",
                        "question",
                        "own",
                        "o.jsonl",
                        "r.html",
                        SamplingParams.DEFAULT
                                .withMaxTokens(7)
                                .withTemperature(0.5)
                                .withTopP(0.9)
                                .withTopK(40)
                                .withMinP(0.1)
                                .withRepetitionPenalty(1.2)
                                .withPresencePenalty(0.5)
                                .withFrequencyPenalty(-0.25)
                                .withMinTokens(2)
                                .withStopTokenIds(List.of(5, 6))
                                .withIncludeStopStrInOutput(true)
                                .withSkipSpecialTokens(false)
                                .withSeed(-3L)
                                .withStop(List.of(".", "@END"))
                                .withIgnoreEos(true),
                        new FailureOptions.FailureRequest("hdfs:///kept", true, OptionalInt.of(5), true),
                        "spark://h:7077",
                        Map.of("spark.a", "b=c", "spark.d", "e"),
                        false));
        assertThat(request("--enable-prefix-caching").launch().limits().prefixCaching())
                .isTrue();
        assertThat(request().launch().limits().prefixCaching()).isNull();
        assertThat(request(
                                "--tensor-parallel-size=2",
                                "--pipeline-parallel-size=3",
                                "--virtual-pipeline-parallel-size=2",
                                "--data-parallel-size=4")
                        .launch()
                        .sizes())
                .isEqualTo(request.launch().sizes());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--top-p 2 | USAGE | --top-p: topP (2.0) is not above 0",
                "--gpu-memory-utilization 1.5 | USAGE | gpu memory utilization (1.5) is not in (0, 1]",
                "--max-tokens 0 | USAGE | --max-tokens: maxTokens (0)",
                "--order tp-tp | USAGE | names an axis twice",
                "-tp 0 | USAGE | tensor size (0) must be at least 1",
                "-dp 0 | USAGE | data size (0) must be at least 1",
                "--ranks 6 -tp 4 | WORLD_SIZE | world size (6) is not divisible by tensor (4) × pipeline (1)",
                "-tp 100000 -pp 100000 | WORLD_SIZE | overflow",
                "--conf spark.task.cpus=two | USAGE | spark.task.cpus = two",
                "-tp 3 | MODEL_SHAPE | 3",
                "-pp 9 | MODEL_SHAPE | more stages than the model has layers (8)",
                "--model /no/such/model | MODEL_NOT_FOUND | /no/such/model",
                "--prompts /no/such/file | USAGE | there is no file /no/such/file",
                "--prompts file:in.jsonl | USAGE | file:in.jsonl names no file",
                "--prompts file:///%zz.jsonl | USAGE | file:///%zz.jsonl names no file",
                "--prompts file:///no/such/file.jsonl | USAGE | there is no file file:///no/such/file.jsonl",
                "--output answers.csv | USAGE | ends neither in .jsonl nor in .parquet",
                "--output /no/such/folder/a.jsonl | USAGE | /no/such/folder is no directory",
                "--output hdfs://h/a.jsonl | USAGE | the driver's own file system only",
                "--prompts pom.xml.jsonl --output pom.xml.jsonl | USAGE | there is no file pom.xml.jsonl",
            })
    void refusedBeforeSparkStarts(String words, ErrorCode code, String message) {
        Run run = Run.of(("generate " + words).split(" "));
        assertThat(run.err()).startsWith(code.label()).contains(message).doesNotContain("\tat ");
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.out()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "-dp 1 | local[4]",
                "-dp 1 --conf spark.task.cpus=2 | local[8]",
                "--conf spark.master=local[7] | local[7]",
                "--conf spark.master=local[7] --master local[5] | local[5]",
            })
    void theMasterThatIsNamedElseOneWithTheCoresOfAllRanks(String words, String master) {
        SparkRequest spark = request(("-tp 2 -pp 2 " + words).split(" ")).spark();
        assertThat(CommandSession.conf(spark).get("spark.master")).isEqualTo(master);
    }

    @Test
    void verboseShowsTheStackOfAnError() {
        assertThat(Run.of("generate", "--verbose", "-tp", "0").err())
                .startsWith(ErrorCode.USAGE.label())
                .contains("\tat ");
        assertThat(Run.of("--verbose", "generate", "-tp", "0").err()).contains("\tat ");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "model.safetensors | 1000000 | CHECKPOINT_INVALID",
                "model.safetensors | 5 | CHECKPOINT_INVALID",
                "model.safetensors | -1 | MODEL_NOT_FOUND",
                "tokenizer.json | 100 | TOKENIZER_INVALID",
                "tokenizer.json | -1 | TOKENIZER_INVALID",
            })
    void aBrokenModelIsRefusedBeforeSparkStarts(String broken, int bytes, ErrorCode code) throws Exception {
        for (String name : List.of("config.json", "tokenizer.json", "model.safetensors")) {
            try (InputStream whole = Llm.class.getResourceAsStream(Llm.BUNDLED + "/" + name)) {
                byte[] content = Objects.requireNonNull(whole, name).readAllBytes();
                if (!name.equals(broken)) {
                    Files.write(folder.resolve(name), content);
                } else if (bytes >= 0) {
                    Files.write(folder.resolve(name), Arrays.copyOf(content, bytes));
                }
            }
        }
        Run run = Run.of("generate", "--model", folder.toString(), "--master", "no such master");
        assertThat(run.err()).startsWith(code.label()).doesNotContain("\tat ");
        assertThat(run.code()).isEqualTo(code.exitCode());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "in.jsonl | {\"prompt\":\"a\"},{ | | in.jsonl, line 2: Unexpected end-of-input: expected close marker for Object",
                "in.jsonl | [] | | in.jsonl, line 1: not a JSON object",
                "in.jsonl | {\"prompt\":\"a\"} | question | there is no column 'question' among [prompt]",
                "in.jsonl | {\"prompt\":\"a\",\"text\":1} | | the input has a column 'text', which is one of ours",
                "in.jsonl.gz | {\"prompt\":\"a\"} | | in.jsonl.gz: a gz is none of text, JSON lines and Parquet",
                "in.csv | id,prompt | | in.csv: a csv is none of text, JSON lines and Parquet",
                "in.txt | Once | error | the input has a column 'error', which is one of ours",
            })
    void wrongPromptsAreRefusedBeforeSparkStarts(String name, String lines, String column, String message)
            throws Exception {
        Path file = Files.writeString(folder.resolve(name), lines.replace("},{", "}\n{"));
        Run run = Run.of(
                "generate",
                "--master",
                "no such master",
                "--prompts",
                file.toString(),
                "--prompt-column",
                column == null ? "prompt" : column);
        assertThat(run.err())
                .startsWith(ErrorCode.USAGE.label())
                .contains(message)
                .doesNotContain("\tat ", "Exception", "REDACTED");
        assertThat(run.code()).isEqualTo(2);
    }

    /** By their names alone: nobody has read them. */
    @ParameterizedTest
    @CsvSource({"in.csv,csv", "in.tsv.bz2,tsv", "in.txt.zip,zip", "in.jsonl.xz,xz", "in.txt.gz.gz,gz"})
    void remoteFilesThatHoldNoLinesAreRefusedBeforeSparkStarts(String name, String kind) {
        Run run = Run.of("generate", "--master", "no such master", "--prompts", "hdfs:///nowhere/" + name);
        assertThat(run.err())
                .startsWith(ErrorCode.USAGE.label())
                .contains("hdfs:///nowhere/" + name + ": a " + kind + " is none of text, JSON lines and Parquet");
        assertThat(run.code()).isEqualTo(2);
    }

    @Test
    void parquetIsRefusedBeforeARunWhereHadoopOpensNoFiles() {
        assumeFalse(HadoopOnJava.opensFiles(), "Hadoop opens files on this Java");
        Run run = Run.of("generate", "--output", folder.resolve("a.parquet").toString());
        assertThat(run.err()).startsWith(ErrorCode.NO_SPARK.label()).contains("Java 17 or 21");
        assertThat(run.code()).isEqualTo(3);
    }

    @Test
    void promptsAndOutputAreNotOneFile() throws Exception {
        Path file = Files.writeString(folder.resolve("both.jsonl"), "{}\n");
        assertThat(Run.of("generate", "--prompts", file.toString(), "--output", file.toString())
                        .err())
                .contains("prompts and output are one file");
        assertThat(file).hasContent("{}");
    }

    @Test
    void theOutputReplacesNoPromptsByAnotherName() throws Exception {
        Path prompts = Files.writeString(
                Files.createDirectory(folder.resolve("a.parquet")).resolve("in.jsonl"), "{}\n");
        Path link = Files.createSymbolicLink(folder.resolve("link.jsonl"), prompts);
        for (Path output : List.of(
                prompts.resolveSibling("../a.parquet/in.jsonl"),
                link,
                prompts.getParent(),
                folder.resolve("./a.parquet"))) {
            Run run = Run.of("generate", "--prompts", prompts.toString(), "--output", output.toString());
            assertThat(run.err())
                    .startsWith(ErrorCode.USAGE.label())
                    .contains("would replace the prompts in " + prompts);
            assertThat(run.code()).isEqualTo(2);
        }
        assertThat(prompts).hasContent("{}");
    }
}
