package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.tensor.DataType;

/** The same words from every way to share the work. */
@Timeout(300)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GoldenStoryTest {
    private static final SamplingParams GREEDY =
            SamplingParams.greedy().withMaxTokens(64).withIgnoreEos(true);
    private static final List<SamplingParams> SAMPLED = List.of(
            SamplingParams.DEFAULT.withTemperature(0.8).withTopP(0.95).withSeed(7L),
            SamplingParams.DEFAULT.withTopK(20).withSeed(1L).withRepetitionPenalty(1.2),
            SamplingParams.DEFAULT.withMinP(0.05).withSeed(-3L).withFrequencyPenalty(0.2));

    /** Golden prompts first, greedy; then the same prompts, sampled in three ways. */
    private static List<Request> requests() {
        List<Request> requests = new ArrayList<>();
        List<Fable.Golden> golden = Fable.golden();
        golden.forEach(each -> requests.add(new Request(requests.size(), each.promptIds(), GREEDY)));
        for (Fable.Golden each : golden) {
            SamplingParams params =
                    SAMPLED.get(requests.size() % SAMPLED.size()).withMaxTokens(20 + requests.size());
            requests.add(new Request(requests.size(), each.promptIds(), params));
        }
        return requests;
    }

    private final List<Completion> dense = LocalReplicas.fable(1, 1, 1).complete(requests());

    @ParameterizedTest(name = "tensor {0} × pipeline {1} × data {2}")
    @CsvSource({
        "1,1,1", "1,1,2", "1,2,1", "1,2,2", "1,4,1", "1,4,2", "2,1,1", "2,1,2", "2,2,1", "2,2,2", "2,4,1", "4,1,1",
        "4,1,2", "4,2,1"
    })
    void everyShapeTellsTheGoldenStories(int tensor, int pipeline, int data) {
        List<Completion> all = LocalReplicas.fable(tensor, pipeline, data).complete(requests());
        List<Fable.Golden> golden = Fable.golden();
        for (int i = 0; i < golden.size(); i++) {
            assertThat(all.get(i).tokens())
                    .as(golden.get(i).id())
                    .isEqualTo(golden.get(i).greedyIds());
            assertThat(all.get(i).text()).isEqualTo(golden.get(i).greedyText());
            assertThat(all.get(i).finishReason()).isEqualTo(FinishReason.LENGTH);
            assertThat(all.get(i).promptTokens()).isEqualTo(golden.get(i).promptIds().length);
        }
        assertThat(all).as("sampled text too").isEqualTo(dense);
    }

    @Test
    void oneAtATimeOrAllTogetherInTightQuarters() {
        GeneratorOptions alone = GeneratorOptions.of(512).withMaxSequences(1);
        assertThat(LocalReplicas.fable(1, 1, 1).with(alone).complete(requests()))
                .isEqualTo(dense);
        GeneratorOptions ragged = new GeneratorOptions(100, 5, 12, 7, 20, DataType.F32, true);
        assertThat(LocalReplicas.fable(2, 2, 1).with(ragged).complete(requests()))
                .isEqualTo(dense);
        GeneratorOptions wide = GeneratorOptions.of(512).withMaxSequences(40);
        assertThat(LocalReplicas.fable(1, 1, 2).with(wide).complete(requests())).isEqualTo(dense);
    }

    @ParameterizedTest(name = "tensor {0} × pipeline {1} × {2} chunks × data {3}")
    @CsvSource({"1,2,2,1", "2,2,2,1", "1,2,2,2"})
    void interleavedStagesTellThemToo(int tensor, int pipeline, int chunks, int data) {
        assertThat(LocalReplicas.fable(tensor, pipeline, data)
                        .interleaved(chunks)
                        .complete(requests()))
                .isEqualTo(dense);
    }

    @Test
    void theSameWordsWithTcpBetweenPretendedJvms() {
        assertThat(LocalReplicas.fable(2, 2, 2).over(2).complete(requests())).isEqualTo(dense);
    }

    @Test
    void sampledTextDependsOnSeedAndRowOnly() {
        SamplingParams params = SAMPLED.get(0).withMaxTokens(30);
        int[] prompt = Fable.golden().get(0).promptIds();
        List<Completion> all = LocalReplicas.fable(1, 1, 1)
                .complete(List.of(
                        new Request(12, prompt, params),
                        new Request(13, prompt, params),
                        new Request(14, prompt, params.withSeed(8L))));
        assertThat(all.get(0).tokens())
                .isNotEqualTo(all.get(1).tokens())
                .isNotEqualTo(all.get(2).tokens());
        List<Completion> again = LocalReplicas.fable(1, 1, 1)
                .complete(List.of(new Request(14, prompt, params), new Request(13, prompt, params)));
        assertThat(again.get(0)).isEqualTo(all.get(1));
        assertThat(again.get(1).tokens()).isNotEqualTo(all.get(2).tokens());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama-bf16-sharded",
                "llama-f16",
                "llama-gqa-tied",
                "llama-gqa-untied",
                "llama-mha-bias-oddvocab",
                "llama-rope-linear",
                "llama3-rope-scaled"
            })
    void greedyTokensOfTheOracle(String name) {
        List<Request> requests = new ArrayList<>();
        List<int[]> expected = new ArrayList<>();
        SamplingParams params = SamplingParams.greedy().withMaxTokens(32).withIgnoreEos(true);
        for (JsonNode prompt :
                Fable.json("/org/lockstep/oracle/golden/" + name + ".json").get("prompts")) {
            requests.add(new Request(requests.size(), Fable.ints(prompt.get("ids")), params));
            expected.add(Fable.ints(prompt.get("greedy")));
        }
        GeneratorOptions options = GeneratorOptions.of(96).withMaxSequences(4).withBlockSize(8);
        for (int[] shape : new int[][] {{1, 1, 1}, {2, 2, 1}, {4, 1, 1}, {1, 2, 2}}) {
            LocalReplicas replicas = new LocalReplicas(
                    () -> ModelFiles.resource("/org/lockstep/oracle/models/" + name),
                    shape[0],
                    shape[1],
                    1,
                    shape[2],
                    false,
                    1,
                    options);
            List<Completion> all = replicas.complete(requests);
            for (int i = 0; i < expected.size(); i++) {
                assertThat(all.get(i).tokens()).as("%s prompt %d", name, i).isEqualTo(expected.get(i));
                assertThat(all.get(i).text()).isEmpty();
            }
        }
    }
}
