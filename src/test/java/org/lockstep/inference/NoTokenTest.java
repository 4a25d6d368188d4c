package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.checkpoint.ModelFiles;

/** A model that gives no numbers after one token: rows that have it fail alone, and all others are what they are without them. */
@Timeout(120)
class NoTokenTest {
    private static final String MODEL = "/org/lockstep/oracle/models/llama-gqa-untied/";
    private static final int SPOILED = 300;

    @TempDir
    private Path folder;

    /** The embedding of one token begins with NaN. */
    @BeforeEach
    void spoil() throws IOException {
        Files.write(folder.resolve("config.json"), bytes("config.json"));
        byte[] weights = bytes("model.safetensors");
        ByteBuffer file = ByteBuffer.wrap(weights).order(ByteOrder.LITTLE_ENDIAN);
        int header = (int) file.getLong(0);
        var tensor = new ObjectMapper()
                .readTree(new String(weights, 8, header, StandardCharsets.UTF_8))
                .get("model.embed_tokens.weight");
        assertThat(tensor.get("dtype").asText()).isEqualTo("F32");
        int row = 4 * tensor.get("shape").get(1).asInt();
        file.putFloat(8 + header + tensor.get("data_offsets").get(0).asInt() + SPOILED * row, Float.NaN);
        Files.write(folder.resolve("model.safetensors"), weights);
    }

    private static byte[] bytes(String name) {
        try (InputStream in = Objects.requireNonNull(NoTokenTest.class.getResourceAsStream(MODEL + name))) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Request row(long id, boolean spoiled) {
        Random random = new Random(id);
        int[] prompt = random.ints(4 + random.nextInt(20), 3, SPOILED).toArray();
        if (spoiled) {
            prompt[prompt.length / 2] = SPOILED;
        }
        SamplingParams params = SamplingParams.greedy().withMaxTokens(1 + random.nextInt(20));
        return new Request(id, prompt, id % 3 == 0 ? params.withTemperature(0.7).withSeed(id) : params);
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "2, 1, 1", "1, 2, 1", "2, 2, 2"})
    void aRowWithoutANextTokenHarmsNoOther(int tensor, int pipeline, int data) {
        LocalReplicas replicas = new LocalReplicas(
                () -> ModelFiles.directory(folder),
                tensor,
                pipeline,
                1,
                data,
                false,
                1,
                GeneratorOptions.of(64).withMaxSequences(4));
        List<Request> sound = new ArrayList<>();
        List<Request> all = new ArrayList<>();
        for (long id = 0; id < 16; id++) {
            boolean spoiled = id % 5 == 2;
            all.add(row(id, spoiled));
            if (!spoiled) {
                sound.add(row(id, false));
            }
        }
        List<Completion> failed = new ArrayList<>();
        List<Completion> whole = new ArrayList<>();
        replicas.complete(all).forEach(each -> (each.error() == null ? whole : failed).add(each));
        assertThat(whole).isEqualTo(replicas.complete(sound));
        assertThat(failed).extracting(Completion::id).containsExactly(2L, 7L, 12L);
        assertNoToken(failed);
    }

    /** The model's logits are sound, but by a penalty that is 0 as a float one of a token of the prompt is none. */
    @Test
    void aRowWhoseOwnParametersLeaveNoTokenHarmsNoOther() {
        LocalReplicas replicas = new LocalReplicas(
                () -> ModelFiles.directory(folder),
                1,
                2,
                1,
                1,
                false,
                1,
                GeneratorOptions.of(64).withMaxSequences(4));
        List<Request> sound = new ArrayList<>();
        List<Request> all = new ArrayList<>();
        for (long id = 0; id < 8; id++) {
            Request row = row(id, false);
            if (id % 4 == 3) {
                SamplingParams vast =
                        row.params().withRepetitionPenalty(Double.MIN_VALUE).withTopP(0.9);
                all.add(new Request(id, row.prompt(), vast));
            } else {
                all.add(row);
                sound.add(row);
            }
        }
        List<Completion> failed = new ArrayList<>();
        List<Completion> whole = new ArrayList<>();
        replicas.complete(all).forEach(each -> (each.error() == null ? whole : failed).add(each));
        assertThat(whole).isEqualTo(replicas.complete(sound));
        assertThat(failed).extracting(Completion::id).containsExactly(3L, 7L);
        assertNoToken(failed);
    }

    private static void assertNoToken(List<Completion> failed) {
        assertThat(failed).allSatisfy(each -> {
            assertThat(each.finishReason()).isEqualTo(FinishReason.ERROR);
            assertThat(each.outputTokens()).isZero();
            assertThat(each.error())
                    .contains("NO_TOKEN", "no token to choose after " + each.promptTokens() + " + 0 tokens")
                    .contains("NaN or an infinity among the logits", "or the row's own", "penalties leave none");
        });
    }
}
