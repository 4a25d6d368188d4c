package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.api.java.JavaSparkContext;
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
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.lockstep.ErrorCode;
import org.lockstep.FaultCase;
import org.lockstep.LockstepException;
import org.lockstep.inference.SamplingParams;
import org.lockstep.tensor.WeightType;

/** Rows in, rows out, through a real barrier stage, with the bundled model. */
@Timeout(180)
class LlmTest {
    private static SparkSession spark;
    private static List<String> prompts;
    private static List<String> stories;

    @BeforeAll
    static void start() throws IOException {
        spark = Sessions.local(8);
        prompts = new ArrayList<>();
        stories = new ArrayList<>();
        try (InputStream golden = LlmTest.class.getResourceAsStream("/org/lockstep/models/fable/golden.json")) {
            for (JsonNode one : new ObjectMapper().readTree(golden).get("cases")) {
                prompts.add(one.get("prompt").asText());
                stories.add(one.get("greedy_text").asText());
            }
        }
        assertThat(prompts).hasSize(12);
    }

    @AfterAll
    static void stop() {
        spark.stop();
    }

    private static SamplingParams golden() {
        return SamplingParams.greedy().withMaxTokens(64).withIgnoreEos(true);
    }

    private static final StructType NUMBERED = new StructType()
            .add("id", DataTypes.LongType)
            .add("prompt", DataTypes.StringType)
            .add("note", DataTypes.createArrayType(DataTypes.StringType));

    private static Dataset<Row> numbered(List<String> texts, int partitions) {
        List<Row> rows = IntStream.range(0, texts.size())
                .mapToObj(i -> RowFactory.create((long) i, texts.get(i), List.of("row " + i)))
                .toList();
        return spark.createDataFrame(rows, NUMBERED)
                .repartitionByRange(partitions, new org.apache.spark.sql.Column("id"));
    }

    static Stream<Arguments> shapes() {
        List<Arguments> shapes = new ArrayList<>();
        for (int tensor : new int[] {1, 2, 4}) {
            for (int pipeline : new int[] {1, 2, 4}) {
                for (int data : new int[] {1, 2}) {
                    if (tensor * pipeline * data <= 8) {
                        shapes.add(Arguments.of(tensor, pipeline, data));
                    }
                }
            }
        }
        return shapes.stream();
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void everyShapeTellsTheSameStories(int tensor, int pipeline, int data) {
        assertThat(Llm.bundled(spark)
                        .tensorParallel(tensor)
                        .pipelineParallel(pipeline)
                        .dataParallel(data)
                        .generate(prompts, golden()))
                .containsExactlyElementsOf(stories);
    }

    @ParameterizedTest
    @CsvSource({"2,2", "2,4", "4,2"})
    void chunksOfStagesTellTheSameStories(int pipeline, int chunks) {
        Generation run = Llm.bundled(spark)
                .pipelineParallel(pipeline)
                .virtualPipelineParallel(chunks)
                .dataParallel(1)
                .run(numbered(prompts, 2), "prompt", golden());
        assertThat(run.rows().collectAsList().stream().map(row -> row.<String>getAs("text")))
                .containsExactlyElementsOf(stories);
        assertThat(run.report().bubble()).isBetween(0.0, 1.0);
        assertThat(run.report().toString()).contains("% bubble");
    }

    @Test
    void aSeedTellsTheSameStoryInEveryShape() {
        SamplingParams sampled = SamplingParams.DEFAULT
                .withTemperature(0.8)
                .withTopP(0.95)
                .withSeed(7L)
                .withMaxTokens(40);
        List<String> alone = Llm.bundled(spark).dataParallel(1).generate(prompts, sampled);
        assertThat(Llm.bundled(spark)
                        .tensorParallel(2)
                        .pipelineParallel(2)
                        .dataParallel(2)
                        .generate(prompts, sampled))
                .isEqualTo(alone);
        assertThat(Llm.bundled(spark).dataParallel(1).generate(prompts, sampled.withSeed(8L)))
                .isNotEqualTo(alone);
    }

    @Test
    void aRunWithoutASeedDrawsOneAndSaysWhich() {
        SamplingParams sampled = SamplingParams.DEFAULT.withMaxTokens(40).withIgnoreEos(true);
        Dataset<Row> rows = numbered(prompts, 2);
        Llm llm = Llm.bundled(spark).dataParallel(2);
        Generation one = llm.run(rows, "prompt", sampled);
        Generation other = llm.run(rows, "prompt", sampled);
        assertThat(texts(other)).isNotEqualTo(texts(one));
        long seed = one.report().drawnSeed().orElseThrow();
        assertThat(one.report().toString()).contains(", seed " + seed + ";");
        Generation again = llm.run(rows, "prompt", sampled.withSeed(seed));
        assertThat(texts(again)).isEqualTo(texts(one));
        assertThat(again.report().drawnSeed()).as("it was given").isEmpty();
        assertThat(llm.run(rows, "prompt", golden()).report().drawnSeed())
                .as("nothing is drawn")
                .isEmpty();
        Stream.of(one, other, again).forEach(Generation::discard);
    }

    private static List<String> texts(Generation run) {
        return run.rows().collectAsList().stream()
                .map(row -> row.<String>getAs("text"))
                .toList();
    }

    /** What a notebook prints of it. */
    @Test
    void itSaysWhatItIs() {
        assertThat(Llm.bundled(spark).tensorParallel(2)).hasToString("fable (bundled), tensor 2 × pipeline 1");
    }

    @Test
    void rowsKeepTheirOrderAndAllTheirColumns() {
        List<String> many = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            many.addAll(prompts);
        }
        Dataset<Row> input = numbered(many, 7);

        Generation run = Llm.bundled(spark)
                .tensorParallel(2)
                .dataParallel(3)
                .maxSequences(4)
                .blockSize(2)
                .run(input, "prompt", golden());

        List<Row> rows = run.rows().collectAsList();
        assertThat(rows).hasSize(60);
        for (int i = 0; i < 60; i++) {
            Row row = rows.get(i);
            assertThat(row.<Long>getAs("id")).isEqualTo(i);
            assertThat(row.getList(row.fieldIndex("note"))).isEqualTo(List.of("row " + i));
            assertThat(row.<String>getAs("text")).isEqualTo(stories.get(i % 12));
            assertThat(row.<String>getAs("finish_reason")).isEqualTo("length");
            assertThat(row.<Integer>getAs("output_tokens")).isEqualTo(64);
            assertThat(row.<Integer>getAs("prompt_tokens")).isPositive();
            assertThat(row.<String>getAs("error")).isNull();
        }
        assertThat(run.rows().columns())
                .containsExactly(
                        "id", "prompt", "note", "text", "finish_reason", "prompt_tokens", "output_tokens", "error");
        assertThat(run.report().rows()).isEqualTo(60);
        assertThat(run.report().rowsFailed()).isZero();
        assertThat(run.report().outputTokens()).isEqualTo(60 * 64);
        assertThat(run.report().ranks()).hasSize(6);
        assertThat(run.report().cachedTokens())
                .as("each prompt comes five times")
                .isPositive();
        assertThat(run.report().toString()).contains("60 rows (0 with errors)", "6 ranks");
    }

    @Test
    void theResultIsAPlainDataset() {
        Dataset<Row> answers = Llm.bundled(spark)
                .tensorParallel(2)
                .generate(numbered(prompts.subList(0, 3), 2), "prompt", golden().withMaxTokens(2));
        assertThat(answers.limit(1).collectAsList()).hasSize(1);
        assertThat(answers.coalesce(1).count()).isEqualTo(3);
        assertThat(answers.union(answers).filter("output_tokens = 2").count()).isEqualTo(6);
    }

    @Test
    @FaultCase("F69")
    void aBadRowHarmsNoOther() {
        String tooLong = String.join(" ", Collections.nCopies(600, "village"));
        List<String> texts = new ArrayList<>(prompts);
        texts.set(3, null);
        texts.set(5, tooLong);
        texts.set(8, "");

        List<Row> rows = Llm.bundled(spark)
                .tensorParallel(2)
                .pipelineParallel(2)
                .run(numbered(texts, 3), "prompt", golden())
                .rows()
                .collectAsList();

        for (int i = 0; i < rows.size(); i++) {
            Row row = rows.get(i);
            if (i == 3 || i == 5 || i == 8) {
                assertThat(row.<String>getAs("text")).isNull();
                assertThat(row.<String>getAs("finish_reason")).isNull();
                assertThat(row.<String>getAs("error")).isNotBlank();
            } else {
                assertThat(row.<String>getAs("text")).isEqualTo(stories.get(i));
                assertThat(row.<String>getAs("error")).isNull();
            }
        }
        assertThat(rows.get(5).<String>getAs("error")).contains("512");
    }

    /** The call samples three tokens; of three rows one says nothing, one is greedy and longer, one asks for what cannot be. */
    @Test
    void rowsMaySayHowTheyAreSampled() {
        StructType own = new StructType()
                .add("temperature", DataTypes.createDecimalType(2, 1)) // as SQL has a 0.0
                .add("max_tokens", DataTypes.LongType)
                .add("stop", DataTypes.createArrayType(DataTypes.StringType));
        StructType schema = new StructType().add("prompt", DataTypes.StringType).add("own", own);
        List<Row> input = List.of(
                RowFactory.create(prompts.get(0), null),
                RowFactory.create(prompts.get(1), RowFactory.create(new BigDecimal("0.0"), 64L, List.of("@", "#"))),
                RowFactory.create(prompts.get(2), RowFactory.create(null, 0L, null)));
        SamplingParams three = golden().withTemperature(0.8).withSeed(7L).withMaxTokens(3);
        Llm llm = Llm.bundled(spark).tensorParallel(2).samplingColumn("own");

        List<Row> rows = llm.generate(spark.createDataFrame(input, schema), "prompt", three)
                .collectAsList();

        assertThat(rows.get(0).<Integer>getAs("output_tokens")).isEqualTo(3);
        assertThat(rows.get(1).<String>getAs("text")).isEqualTo(stories.get(1));
        assertThat(rows.get(2).<String>getAs("text")).isNull();
        assertThat(rows.get(2).<String>getAs("error"))
                .contains(
                        "SAMPLING_INVALID  the row's sampling parameters: max_tokens: maxTokens (0) is not 1 or more");
        assertRefused(
                ErrorCode.USAGE, () -> llm.generate(numbered(prompts, 1), "prompt", three), "there is no column 'own'");
        assertThat(llm.generate(List.of(prompts.get(1)), golden())).containsExactly(stories.get(1));
    }

    @ParameterizedTest
    @CsvSource({"0", "1", "2", "3", "5"})
    @FaultCase("F56")
    void fewerRowsThanReplicas(int count) {
        List<Row> rows = Llm.bundled(spark)
                .pipelineParallel(2)
                .dataParallel(4)
                .generate(numbered(prompts.subList(0, count), 1), "prompt", golden())
                .collectAsList();
        assertThat(rows.stream().map(row -> row.<String>getAs("text"))).isEqualTo(stories.subList(0, count));
    }

    @ParameterizedTest
    @EnumSource(
            value = WeightType.class,
            names = {"F32", "BF16"})
    void weightsWidenedOrAsStoredTellTheSameStories(WeightType type) {
        assertThat(Llm.bundled(spark)
                        .tensorParallel(2)
                        .dataParallel(1)
                        .weightType(type)
                        .generate(prompts, golden()))
                .isEqualTo(stories);
    }

    @Test
    void weightsInATypeThatRoundsStillTellStories() {
        assertThat(Llm.bundled(spark).dataParallel(1).weightType(WeightType.F16).generate(prompts, golden()))
                .hasSize(12)
                .allSatisfy(story -> assertThat(story).isNotBlank());
    }

    @Test
    @FaultCase("F56")
    void anEmptyInputLaunchesNothingAndHasTheSchema() {
        Generation run = Llm.bundled(spark).run(numbered(List.of(), 1), "prompt", golden());
        assertThat(run.rows().columns()).contains("id", "text", "error");
        assertThat(run.rows().count()).isZero();
        assertThat(run.report().ranks()).isEmpty();
    }

    @Test
    void stopStringsEndAStoryBeforeThem() {
        List<Row> rows = Llm.bundled(spark)
                .tensorParallel(2)
                .generate(numbered(prompts, 2), "prompt", golden().withStop(List.of(". ")))
                .collectAsList();
        for (int i = 0; i < rows.size(); i++) {
            String story = stories.get(i);
            int end = story.indexOf(". ");
            assertThat(rows.get(i).<String>getAs("text")).isEqualTo(end < 0 ? story : story.substring(0, end));
            assertThat(rows.get(i).<String>getAs("finish_reason")).isEqualTo(end < 0 ? "length" : "stop");
        }
    }

    @Test
    void theMachineIsDrawnBeforeItIsLaunched() {
        assertThat(Llm.bundled(spark)
                        .tensorParallel(2)
                        .pipelineParallel(2)
                        .plan()
                        .toString())
                .contains(
                        "fable (bundled): 8 layers",
                        "a rank: cpu, 1 core; ",
                        " of weights, 16 MiB of cache, ",
                        "8 ranks = tensor 2 × pipeline 2 × data 2",
                        "layers 4-7",
                        "rank 7",
                        "transports\n  tp     4 of 2 ranks: threads of one JVM\n  pp     4 of 2 ranks: threads of one JVM",
                        "  world  1 of 8 ranks: threads of one JVM");
    }

    @Test
    void aStepAndTheRowsInItFitWhereOnlyOneIsSaid() {
        assertThat(Llm.bundled(spark).maxStepLength(8).plan().toString())
                .contains("up to 8 rows at once", "4,096 in its cache, 8 in a step");
        assertThat(Llm.bundled(spark)
                        .tensorParallel(4)
                        .maxModelLength(16)
                        .maxSequences(2100)
                        .plan()
                        .toString())
                .contains("up to 2100 rows at once", " 2,100 in a step");
    }

    @Test
    void whatTheModelCannotBeSplitIntoIsRefused() {
        assertRefused(
                ErrorCode.MODEL_SHAPE,
                () -> Llm.bundled(spark).tensorParallel(3).plan(),
                "8",
                "tensor",
                "3");
        assertRefused(
                ErrorCode.NOT_ENOUGH_SLOTS,
                () -> Llm.bundled(spark).pipelineParallel(9).plan(),
                "9");
        assertRefused(
                ErrorCode.MODEL_SHAPE,
                () -> Llm.bundled(spark)
                        .pipelineParallel(4)
                        .virtualPipelineParallel(3)
                        .plan(),
                "pipeline (4) × virtual pipeline (3)");
        assertRefused(ErrorCode.USAGE, () -> Llm.bundled(spark).maxSequences(0).plan(), "max-num-seqs (0)");
        assertRefused(
                ErrorCode.USAGE, () -> Llm.bundled(spark).maxStepLength(-5).plan(), "max-num-batched-tokens (-5)");
        assertRefused(
                ErrorCode.USAGE,
                () -> Llm.bundled(spark).maxStepLength(8).maxSequences(32).plan(),
                "max-num-batched-tokens (8) is less than max-num-seqs (32)",
                "--max-num-batched-tokens 32, or --max-num-seqs 8");
        assertRefused(
                ErrorCode.USAGE, () -> Llm.bundled(spark).maxModelLength(4096).plan(), "4096", "512");
        assertRefused(ErrorCode.USAGE, () -> Llm.bundled(spark).blockSize(0).plan(), "block-size (0)");
        assertRefused(
                ErrorCode.NOT_ENOUGH_MEMORY,
                () -> Llm.bundled(spark).maxStepLength(10_000_000).plan(),
                "a rank needs",
                "for a step), there are");
    }

    @Test
    void anInputThatFailsIsNamedAndLeavesNothingCached() {
        Dataset<Row> failing =
                numbered(prompts, 2).selectExpr("id", "cast(raise_error('broken row') as string) as prompt");
        JavaSparkContext context = JavaSparkContext.fromSparkContext(spark.sparkContext());
        Set<Integer> cached = Set.copyOf(context.getPersistentRDDs().keySet());
        assertRefused(
                ErrorCode.INPUT_FAILED, () -> Llm.bundled(spark).generate(failing, "prompt", golden()), "broken row");
        assertThat(cached).containsAll(context.getPersistentRDDs().keySet());
    }

    @Test
    void wrongColumnsAreRefused() {
        Dataset<Row> rows = numbered(prompts, 1);
        Llm llm = Llm.bundled(spark);
        assertRefused(ErrorCode.USAGE, () -> llm.generate(rows, "question", golden()), "question", "prompt");
        assertRefused(ErrorCode.USAGE, () -> llm.generate(rows, "id", golden()), "id", "bigint");
        assertRefused(
                ErrorCode.USAGE,
                () -> llm.generate(rows.withColumnRenamed("note", "text"), "prompt", golden()),
                "'text'");
    }

    /** As callers in other languages come to them. */
    @Test
    void nullsAreRefusedWithAWord() {
        Dataset<Row> rows = numbered(prompts, 1);
        Llm llm = Llm.bundled(spark);
        assertRefused(ErrorCode.USAGE, () -> llm.generate(rows, null, golden()), "there is no column 'null' among");
        assertThatThrownBy(() -> llm.generate(rows, "prompt", null))
                .hasMessage("the sampling parameters are null; SamplingParams.DEFAULT has vLLM's");
    }

    @Test
    void modelDirectoriesThatCannotBeUsed(@TempDir Path folder) throws IOException {
        assertRefused(
                ErrorCode.MODEL_NOT_FOUND,
                () -> Llm.load(spark, folder.resolve("nowhere").toString()),
                "nowhere");
        for (String name :
                List.of("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")) {
            try (InputStream file = Llm.class.getResourceAsStream("/org/lockstep/models/fable/" + name)) {
                Files.copy(file, folder.resolve(name));
            }
        }
        byte[] weights;
        try (InputStream file = Llm.class.getResourceAsStream("/org/lockstep/models/fable/model.safetensors")) {
            weights = file.readAllBytes();
        }
        Files.write(folder.resolve("model.safetensors"), java.util.Arrays.copyOf(weights, weights.length - 100));
        assertRefused(ErrorCode.CHECKPOINT_INVALID, () -> Llm.load(spark, folder.toString()), "model.safetensors");

        Files.write(folder.resolve("model.safetensors"), weights);
        assertThat(Llm.load(spark, folder.toString())
                        .tensorParallel(2)
                        .dataParallel(1)
                        .generate(prompts.subList(0, 1), golden()))
                .containsExactly(stories.get(0));

        String config = Files.readString(folder.resolve("config.json"));
        Files.writeString(
                folder.resolve("config.json"), config.replace("\"num_hidden_layers\": 8", "\"num_hidden_layers\": 9"));
        assertRefused(ErrorCode.CHECKPOINT_INVALID, () -> Llm.load(spark, folder.toString()), "model.layers.8.");

        Files.writeString(folder.resolve("config.json"), config.replace("LlamaForCausalLM", "GPT2LMHeadModel"));
        assertRefused(
                ErrorCode.MODEL_UNSUPPORTED,
                () -> Llm.load(spark, folder.toString()),
                "GPT2LMHeadModel",
                "LlamaForCausalLM");
    }

    private static void assertRefused(
            ErrorCode code, org.assertj.core.api.ThrowableAssert.ThrowingCallable call, String... words) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        LockstepException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContainingAll(words);
    }
}
