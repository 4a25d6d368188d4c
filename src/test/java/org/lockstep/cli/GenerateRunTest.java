package org.lockstep.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Date;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.zip.GZIPOutputStream;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/** The whole command in one session of this JVM, with the bundled model. */
@Timeout(180)
class GenerateRunTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static SparkSession spark;

    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        spark = SparkSession.builder()
                .master("local[4]")
                .appName("lockstep-test")
                .config("spark.ui.enabled", "false")
                .config("spark.driver.host", "127.0.0.1")
                .config("spark.driver.bindAddress", "127.0.0.1")
                .getOrCreate();
    }

    @AfterAll
    static void stop() {
        spark.stop();
    }

    private Path file(String name, String text) throws IOException {
        return Files.writeString(folder.resolve(name), text);
    }

    @Test
    void withoutWordsStoriesStandUnderThePlanAndASummaryEndsIt() {
        Run run = Run.of("generate", "--max-tokens", "8");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.out())
                .contains("4 ranks = tensor 2 × pipeline 2 × data 1", "fable", "  Once upon a time", "1  (", "8  (")
                .doesNotContain("9  (");
        assertThat(run.out().indexOf("rank 3")).isLessThan(run.out().indexOf("Once upon a time"));
        assertThat(run.err().lines()).hasSize(1).allMatch(line -> line.startsWith("8 rows (0 with errors)"));
        assertThat(spark.sparkContext().isStopped())
                .as("a session that was there stays")
                .isFalse();
    }

    @Test
    void inputColumnsComeFirstAndAsTheyWere() throws IOException {
        String nasty = "\"z\":1,\"prompt\":\"Once upon a time\",\"big\":12345678901234567890,\"huge\":1e400,\"x\":0.5,"
                + "\"nested\":{\"b\":[1, 1.50],\"a\":null},\"é\\\"\\n\":\"𝄞\u2028\",\"Z\":true,\"a.b\":\"`\"";
        Path prompts = file("in.jsonl", "{" + nasty + "}\n{\"prompt\":\"Long ago\",\"more\":[]}\n\n");
        Path answers = folder.resolve("out.jsonl");
        Files.writeString(answers, "old");

        Run run = Run.of(("generate -tp 2 --temperature 0 --max-tokens 5 --prompts " + prompts + " --output " + answers)
                .split(" "));

        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).contains("4 ranks = tensor 2 × pipeline 1 × data 2", "2 rows (0 with errors)");
        List<String> lines = Files.readAllLines(answers);
        assertThat(lines).hasSize(2);
        assertThat(lines.get(0)).startsWith("{" + nasty + ",\"more\":null,\"text\":\"");
        assertThat(lines.get(0))
                .endsWith(",\"finish_reason\":\"length\",\"prompt_tokens\":"
                        + JSON.readTree(lines.get(0)).get("prompt_tokens") + ",\"output_tokens\":5,\"error\":null}");
        assertThat(JSON.readTree(lines.get(1)).get("more")).isEmpty();
        assertThat(JSON.readTree(lines.get(1)).get("nested").isNull()).isTrue();
        assertThat(Files.readString(answers)).endsWith("}\n").doesNotContain("\r");
        try (var left = Files.list(folder)) {
            assertThat(left).containsExactlyInAnyOrder(prompts, answers);
        }
    }

    @Test
    void aRowWithAnErrorIsCodeOneAndHarmsNoOther() throws IOException {
        Path prompts = file("in.jsonl", "{\"prompt\":null}\n{\"prompt\":\"Long ago\"}\n{}\n");
        Path answers = folder.resolve("out.jsonl");
        Run run = Run.of(("generate --max-tokens 3 --prompts " + prompts + " --output " + answers).split(" "));
        assertThat(run.code()).isEqualTo(1);
        JsonNode first = JSON.readTree(Files.readAllLines(answers).get(0));
        assertThat(first.get("text").isNull()).isTrue();
        assertThat(first.get("error").asText()).isNotBlank();
        assertThat(JSON.readTree(Files.readAllLines(answers).get(1))
                        .get("output_tokens")
                        .intValue())
                .isEqualTo(3);

        Run printed = Run.of("generate", "--max-tokens", "3", "--prompts", prompts.toString());
        assertThat(printed.code()).isEqualTo(1);
        assertThat(printed.out()).contains("row 1: ", "2  (", "row 3: ");
    }

    @Test
    void rowsSayInAnObjectHowTheyAreSampled() throws IOException {
        Path prompts = file(
                "in.jsonl",
                "{\"prompt\":\"Long ago\",\"own\":{\"max_tokens\":5,\"ignore_eos\":true}}\n{\"prompt\":\"Long ago\"}\n"
                        + "{\"prompt\":\"Long ago\",\"own\":{\"tokens\":5}}\n");
        Path answers = folder.resolve("out.jsonl");
        String words = "generate --max-tokens 3 --ignore-eos --prompts " + prompts + " --output " + answers;
        Run run = Run.of((words + " --sampling-column own").split(" "));
        assertThat(run.code()).as(run.err()).isEqualTo(1);
        List<JsonNode> rows = new ArrayList<>();
        for (String line : Files.readAllLines(answers)) {
            rows.add(JSON.readTree(line));
        }
        assertThat(rows.get(0).get("output_tokens").intValue()).isEqualTo(5);
        assertThat(rows.get(0).get("own").get("max_tokens").intValue())
                .as("as it came")
                .isEqualTo(5);
        assertThat(rows.get(1).get("output_tokens").intValue()).isEqualTo(3);
        assertThat(rows.get(2).get("error").textValue()).contains("SAMPLING_INVALID", "'tokens'");

        Run misused = Run.of((words + " --sampling-column others").split(" "));
        assertThat(misused.code()).isEqualTo(2);
        assertThat(misused.err()).contains("there is no column 'others' among", "--sampling-column");
    }

    @Test
    void aRunThatFailsHasItsReportToo() throws IOException {
        Path prompts = file("in.jsonl", "{\"prompt\":\"Long ago\"}\n{\"prompt\":null}\n");
        Path report = folder.resolve("run.html");
        Path kept = folder.resolve("kept");
        Run run = Run.of(("generate -tp 2 --on-row-error fail --max-tokens 3 --checkpoint-dir " + kept + " --prompts "
                        + prompts + " --report " + report)
                .split(" "));
        assertThat(run.code()).as(run.err()).isEqualTo(ErrorCode.ROW_FAILED.exitCode());
        assertThat(Files.readString(report))
                .contains(
                        "the run failed",
                        "ROW_FAILED",
                        "row 2",
                        "of 2</b><span>rows kept",
                        "class=\"replica\"",
                        "--resume");
    }

    @Test
    void textIsAPromptALine() throws IOException {
        Path prompts = file("in.txt", "\uFEFFOnce upon a time\r\n\n  Long \"ago\"\t\n");
        Path answers = folder.resolve("out.jsonl");
        Run run = Run.of(
                ("generate --prompt-column question --max-tokens 2 --prompts " + prompts + " --output " + answers)
                        .split(" "));
        assertThat(run.code()).as(run.err()).isEqualTo(1);
        List<String> lines = Files.readAllLines(answers);
        assertThat(lines).hasSize(3);
        assertThat(lines.get(0)).startsWith("{\"question\":\"Once upon a time\",\"text\":");
        assertThat(JSON.readTree(lines.get(1)).get("error").textValue()).contains("PROMPT_EMPTY");
        assertThat(JSON.readTree(lines.get(2)).get("question").textValue()).isEqualTo("  Long \"ago\"\t");
    }

    @Test
    void parquetInAndOut() throws IOException {
        assumeTrue(HadoopOnJava.opensFiles(), "Parquet through Hadoop 3.4 does not run on Java 24 and later");
        Path prompts = folder.resolve("in.parquet");
        Path answers = folder.resolve("out.parquet");
        spark.createDataFrame(
                        List.of(RowFactory.create(7, List.of("x", "y"), "Long ago")),
                        new StructType()
                                .add("id", DataTypes.IntegerType)
                                .add("tags", DataTypes.createArrayType(DataTypes.StringType))
                                .add("prompt", DataTypes.StringType))
                .write()
                .parquet(prompts.toString());
        String words = "generate --max-tokens 2 --prompts " + prompts + " --output ";
        assertThat(Run.of((words + answers).split(" ")).code()).isZero();
        assertThat(Run.of((words + answers).split(" ")).code()).as("replaced").isZero();
        Dataset<Row> written = spark.read().parquet(answers.toString());
        assertThat(written.columns())
                .containsExactly(
                        "id", "tags", "prompt", "text", "finish_reason", "prompt_tokens", "output_tokens", "error");
        assertThat(written.collectAsList())
                .singleElement()
                .satisfies(row -> assertThat(row.getInt(0)).isEqualTo(7));
        Path lines = folder.resolve("out.jsonl");
        assertThat(Run.of((words + lines).split(" ")).code()).isZero();
        assertThat(Files.readString(lines)).startsWith("{\"id\":7,\"tags\":[\"x\",\"y\"],\"prompt\":\"Long ago\",");
    }

    @ParameterizedTest
    @ValueSource(strings = {"jsonl", "txt"})
    void aMarkOfTheByteOrderIsNoPartOfTheFirstPromptOnly(String ending) throws IOException {
        boolean json = ending.equals("jsonl");
        String first = json ? "{\"prompt\":\"Once\"}" : "Once";
        String second = json ? "{\"prompt\":\"\uFEFFLong\"}" : "\uFEFFLong";
        Path prompts = file("in." + ending, "\uFEFF" + first + "\n" + second + "\n");
        assertThat(Prompts.read(spark, prompts.toString(), "prompt", false).rows().collectAsList().stream()
                        .map(row -> row.getString(0)))
                .containsExactly("Once", "\uFEFFLong");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "viewfs://cluster/in/"})
    void aLineThatIsNotUtf8IsToldByItsNumber(String elsewhere) throws IOException {
        assumeTrue(
                HadoopOnJava.opensFiles() || elsewhere.isEmpty(),
                "files through Hadoop 3.4 are not read on Java 24 and later");
        spark.sparkContext()
                .hadoopConfiguration()
                .set("fs.viewfs.mounttable.cluster.link./in", folder.toUri().toString());
        Files.write(folder.resolve("in.txt"), "Once\nÀ la caf\u00e9\n".getBytes(StandardCharsets.UTF_8));
        Files.write(
                folder.resolve("latin.jsonl"),
                "{}\n\n{\"prompt\":\"caf\u00e9\"}\n".getBytes(StandardCharsets.ISO_8859_1));
        String from = elsewhere.isEmpty() ? folder + "/" : elsewhere;
        assertThat(Prompts.read(spark, from + "in.txt", "prompt", false).rows().collectAsList().stream()
                        .map(row -> row.getString(0)))
                .containsExactly("Once", "À la caf\u00e9");
        assertThatThrownBy(() -> Prompts.read(spark, from + "latin.jsonl", "prompt", false))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.USAGE))
                .hasMessageContainingAll(from + "latin.jsonl: line 3 is not UTF-8", "iconv");
    }

    /** Spark unpacks what it reads of other file systems; then it is what stands before the codec's ending. */
    @Test
    void packedLinesOfAnotherFileSystem() throws IOException {
        assumeTrue(HadoopOnJava.opensFiles(), "files through Hadoop 3.4 are not read on Java 24 and later");
        spark.sparkContext()
                .hadoopConfiguration()
                .set("fs.viewfs.mounttable.packed.link./in", folder.toUri().toString());
        for (String name : List.of("in.txt.gz", "in.JSONL.gz", "in.csv.gz")) {
            try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(folder.resolve(name)))) {
                out.write("{\"prompt\":\"Once\"}\n".getBytes(StandardCharsets.UTF_8));
            }
        }
        String from = "viewfs://packed/in/";
        assertThat(Prompts.read(spark, from + "in.txt.gz", "prompt", false)
                        .rows()
                        .first()
                        .getString(0))
                .isEqualTo("{\"prompt\":\"Once\"}");
        assertThat(Prompts.read(spark, from + "in.JSONL.gz", "prompt", false)
                        .rows()
                        .first()
                        .getString(0))
                .isEqualTo("Once");
        assertThatThrownBy(() -> Prompts.read(spark, from + "in.csv.gz", "prompt", false))
                .hasMessageContainingAll("in.csv.gz: a csv is none of text", "as Parquet");
    }

    @Test
    void aNameWithoutADotHasNoEnding() {
        assertThatThrownBy(() -> Prompts.read(spark, "zip", "prompt", false))
                .as("it is looked for, as text")
                .hasMessageContaining("cannot read the prompts in zip: ")
                .hasMessageNotContaining("is none of");
    }

    @Test
    void whatCannotBeWrittenIsToldWithItsReason() {
        Dataset<Row> rows = spark.createDataFrame(
                List.of(RowFactory.create("Once")), new StructType().add("prompt", DataTypes.StringType));
        assertThatThrownBy(() -> new OutputFile(folder.resolve("gone/out.jsonl").toString()).write(rows, Set.of()))
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.USAGE))
                .hasMessageContainingAll("cannot write to " + folder, "there is no " + folder);
    }

    @Test
    void anEmptyFileHasNoAnswers() throws IOException {
        Path answers = folder.resolve("out.jsonl");
        Run run = Run.of(("generate --prompts " + file("in.jsonl", "\n") + " --output " + answers).split(" "));
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(answers).isEmptyFile();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"--prompts bad.jsonl", "--prompts latin.txt", "--prompts bad.parquet", "--prompt-column none"})
    void wrongInputIsCodeTwoAndWritesNothing(String words) throws IOException {
        assumeTrue(
                HadoopOnJava.opensFiles() || !words.endsWith(".parquet"),
                "Parquet through Hadoop 3.4 does not run on Java 24 and later");
        file("bad.jsonl", "{\"prompt\":\"a\"}\n{\n");
        file("bad.parquet", "no parquet");
        Files.write(folder.resolve("latin.txt"), "caf\u00e9\n".getBytes(StandardCharsets.ISO_8859_1));
        String answers = folder.resolve("out.jsonl").toString();
        Run run =
                Run.of(("generate --output " + answers + " " + words.replace("--prompts ", "--prompts " + folder + "/"))
                        .split(" "));
        assertThat(run.code()).as(run.err()).isEqualTo(2);
        assertThat(run.err()).contains(words.split(" ")[1]).doesNotContain("\tat ");
        assertThat(Path.of(answers)).doesNotExist();
    }

    /** As Spark writes JSON lines: told before it starts. */
    @Test
    void aDirectoryOfPromptsIsRefused() throws IOException {
        Path parts = Files.createDirectory(folder.resolve("in.jsonl"));
        Run run = Run.of("generate", "--prompts", parts.toString());
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.err()).contains(parts + " is a directory").doesNotContain("\tat ");
    }

    @Test
    void whatOnlySparkSubmitCouldSetIsToldToHaveNoEffect() {
        Run run = Run.of("generate", "--max-tokens", "2", "--conf", "spark.driver.memory=8g");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.err()).contains("spark.driver.memory is left aside", "LOCKSTEP_JAVA_OPTS");
    }

    @Test
    void moreSlotsThanThereAreIsCodeThree() {
        assertThat(Run.of("generate", "-tp", "4", "-pp", "2").code()).isEqualTo(3);
    }

    @Test
    void valuesOfAnySparkTypeAsJson() throws IOException {
        StructType inner = new StructType().add("b", DataTypes.DoubleType).add("a", DataTypes.StringType);
        StructType schema = new StructType()
                .add("date", DataTypes.DateType)
                .add("decimal", DataTypes.createDecimalType(38, 2))
                .add("nan", DataTypes.DoubleType)
                .add("float", DataTypes.FloatType)
                .add("short", DataTypes.ShortType)
                .add("bytes", DataTypes.BinaryType)
                .add("a.`map", DataTypes.createMapType(DataTypes.StringType, inner))
                .add("none", DataTypes.createArrayType(DataTypes.LongType))
                .add("raw", DataTypes.StringType);
        Row row = RowFactory.create(
                Date.valueOf("2024-02-29"),
                new BigDecimal("100000000000000000000.50"),
                Double.NaN,
                1.1f,
                (short) 3,
                new byte[] {1, 2},
                Map.of("k", RowFactory.create(1.5, null)),
                null,
                "{\"as\": [it, is]}");
        StringWriter out = new StringWriter();
        JsonLinesWriter.write(out, spark.createDataFrame(Collections.nCopies(2, row), schema), Set.of("raw"));
        String line =
                "{\"date\":\"2024-02-29\",\"decimal\":100000000000000000000.50,\"nan\":\"NaN\",\"float\":1.1,\"short\":3,"
                        + "\"bytes\":\"AQI=\",\"a.`map\":{\"k\":{\"b\":1.5,\"a\":null}},\"none\":null,\"raw\":{\"as\": [it, is]}}\n";
        assertThat(out.toString()).isEqualTo(line + line);
    }

    @Test
    void columnsWhoseNamesDifferInCaseAloneAreWritten() throws IOException {
        StructType schema = new StructType().add("Day", DataTypes.DateType).add("day", DataTypes.StringType);
        Row row = RowFactory.create(Date.valueOf("2024-02-29"), "leap");
        StringWriter out = new StringWriter();
        JsonLinesWriter.write(out, spark.createDataFrame(List.of(row), schema), Set.of());
        assertThat(out.toString()).isEqualTo("{\"Day\":\"2024-02-29\",\"day\":\"leap\"}\n");
    }
}
