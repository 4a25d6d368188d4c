package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.inference.PromptCheck;
import org.lockstep.inference.Request;
import org.lockstep.inference.SamplingJson;
import org.lockstep.inference.SamplingParams;
import org.lockstep.inference.Tokenizer;
import org.lockstep.model.ModelConfig;
import org.lockstep.spark.rows.IndexedRow;
import org.lockstep.spark.rows.RowColumns;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RowRequestsTest {
    private static final StructType SCHEMA =
            new StructType().add("prompt", DataTypes.StringType).add("own", DataTypes.StringType);

    private Tokenizer tokenizer;

    @BeforeAll
    void load() {
        try (ModelFiles files = ModelFiles.resource(Llm.BUNDLED)) {
            tokenizer = Tokenizer.load(files, ModelConfig.read(files).vocabularySize());
        }
    }

    @AfterAll
    void close() {
        tokenizer.close();
    }

    private RowRequests requests() {
        return new RowRequests(
                new PromptCheck(tokenizer, 64),
                new SamplingJson(SamplingParams.greedy()),
                RowColumns.of(SCHEMA, "prompt", Optional.of("own")));
    }

    private static IndexedRow row(long index, String prompt, String own) {
        return new IndexedRow(index, RowFactory.create(prompt, own));
    }

    @Test
    void whatCannotBeCompletedIsRefusedAndTheOthersAreAskedFor() {
        List<String> refused = new ArrayList<>();
        Iterator<Request> asked = requests()
                .of(
                        Stream.of(
                                row(4, "once", null),
                                row(5, null, null),
                                row(6, "upon", "{\"max_tokens\": 3}"),
                                row(7, "a", "{\"max_tokens\": 0}")),
                        (row, error) -> refused.add(row.index() + " " + error));
        assertThat(asked.next()).isEqualTo(new Request(4, tokenizer.encode("once"), SamplingParams.greedy()));
        assertThat(refused).as("nothing is looked at before it is taken").isEmpty();
        assertThat(asked.next())
                .isEqualTo(new Request(
                        6, tokenizer.encode("upon"), SamplingParams.greedy().withMaxTokens(3)));
        assertThat(asked.hasNext()).isFalse();
        assertThat(refused).hasSize(2);
        assertThat(refused.get(0)).startsWith("5 ").contains("PROMPT_NULL");
        assertThat(refused.get(1)).startsWith("7 ").contains("SAMPLING_INVALID");
    }

    @Test
    void anInterruptEndsItAtTheNextRow() {
        Iterator<Request> asked = requests()
                .of(IntStream.range(0, 1_000_000).mapToObj(i -> row(i, "once", null)), (row, error) -> {
                    throw new AssertionError(error);
                });
        assertThat(asked.next().id()).isZero();
        Thread.currentThread().interrupt();
        try {
            assertThatThrownBy(asked::next).hasMessageContainingAll("ABORTED", "interrupted while", "row 2");
            assertThat(Thread.currentThread().isInterrupted()).isTrue();
        } finally {
            assertThat(Thread.interrupted()).isTrue();
        }
    }
}
