package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.collective.Communicator;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Tensor;

/** The oracle's models must answer as the oracle does, however they are split. */
@Timeout(60)
class GoldenModelTest {
    private static final List<String> SYNTHETIC = List.of(
            "llama-bf16-sharded",
            "llama-f16",
            "llama-gqa-tied",
            "llama-gqa-untied",
            "llama-mha-bias-oddvocab",
            "llama-rope-linear",
            "llama3-rope-scaled");

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "4,1", "1,2", "2,2", "4,2", "1,4", "2,4", "4,4"})
    void everySplitGivesTheGoldenLogitsAndTokens(int tensor, int pipeline) {
        Map<String, Golden> models = new TreeMap<>();
        SYNTHETIC.forEach(name -> models.put(name, Golden.synthetic(name)));
        check(models, tensor, pipeline);
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "4,1", "1,2", "2,2", "1,3", "1,4", "2,4"})
    void storiesOfAThirdPartyAreToldAlike(int tensor, int pipeline) throws IOException {
        Optional<Path> oracle = oracle();
        assumeThat(oracle)
                .as("stories260K is not ours to copy: no shared/oracle beside the checkout, -Dlockstep.oracle not set")
                .isPresent();
        check(Map.of("stories260K", Golden.external(oracle.orElseThrow(), "stories260K")), tensor, pipeline);
    }

    private static void check(Map<String, Golden> models, int tensor, int pipeline) {
        List<Map<String, GreedyDecoding.Seen>> split = run(models, tensor, pipeline);
        List<Map<String, GreedyDecoding.Seen>> whole = tensor * pipeline == 1 ? split : run(models, 1, 1);
        models.forEach((name, golden) -> {
            int[][] prompts = golden.prompts();
            for (int rank = 0; rank < split.size(); rank++) {
                GreedyDecoding.Seen seen = split.get(rank).get(name);
                assertThat(seen.tokens()).as("%s, rank %d", name, rank).isDeepEqualTo(golden.greedy());
                boolean last = rank >= (pipeline - 1) * tensor;
                assertThat(seen.logits()).hasNumberOfRows(last ? prompts.length : 0);
                if (last) {
                    assertThat(seen.logits())
                            .as("%s, rank %d: the bits of the whole model", name, rank)
                            .isDeepEqualTo(whole.get(0).get(name).logits());
                }
            }
            for (int p = 0; p < prompts.length; p++) {
                assertClose(
                        name + ", prompt " + p,
                        whole.get(0).get(name).logits()[p],
                        golden.floats("prompt" + p + ".logits"));
            }
        });
    }

    private static List<Map<String, GreedyDecoding.Seen>> run(Map<String, Golden> models, int tensor, int pipeline) {
        return ModelWorld.run(tensor, pipeline, (state, communicators, kernels) -> {
            Map<String, GreedyDecoding.Seen> seen = new TreeMap<>();
            models.forEach((name, golden) -> seen.put(
                    name, GreedyDecoding.run(golden.model(), state, communicators, kernels, golden.prompts(), 32)));
            return seen;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void everyPositionOfAPromptGivesTheGoldenLogits(int tensor) {
        for (String name : SYNTHETIC) {
            Golden golden = Golden.synthetic(name);
            int[][] prompt = {golden.prompts()[1]};
            BatchLayout layout = GreedyDecoding.layout(prompt, new int[1], prompt, 0);
            int[] rows = IntStream.range(0, prompt[0].length).toArray();
            List<float[]> logits = ModelWorld.run(tensor, 1, (state, communicators, kernels) -> {
                try (Checkpoint checkpoint = Checkpoint.open(golden.model());
                        PipelineStage stage = PipelineStage.load(
                                ModelConfig.read(golden.model()),
                                checkpoint,
                                state,
                                communicators,
                                kernels,
                                GreedyDecoding.CACHE,
                                16)) {
                    return stage.forward(0, prompt[0], layout, rows)
                            .orElseThrow()
                            .buffer()
                            .toHost()
                            .toFloats();
                }
            });
            logits.forEach(seen -> assertClose(name, seen, golden.floats("prompt1.all_logits")));
        }
    }

    @Test
    void hiddenStatesAreGoldenAfterEveryLayer() {
        for (String name : SYNTHETIC) {
            Golden golden = Golden.synthetic(name);
            for (int p = 0; p < golden.prompts().length; p++) {
                assertClose(
                        name + ", prompt " + p,
                        hidden(golden.model(), golden.prompts()[p]),
                        golden.floats("prompt" + p + ".hidden"));
            }
        }
    }

    /** The last token's state after the embedding, after each layer, after the final norm. */
    private static float[] hidden(ModelFiles files, int[] ids) {
        ModelConfig config = ModelConfig.read(files);
        return ModelWorld.run(1, 1, (state, communicators, kernels) -> {
                    Communicator tensor = communicators.tensor();
                    ShardPlan plan = ShardPlan.of(config, 0, 1);
                    List<float[]> states = new ArrayList<>();
                    try (Checkpoint checkpoint = Checkpoint.open(files);
                            StageMemory memory = new StageMemory(kernels)) {
                        Parameters parameters = new Parameters(checkpoint, memory, null);
                        RotaryTable rotary = RotaryTable.of(config, ids.length, memory);
                        RunState.Activations a = RunState.allocate(memory, config, plan, ids.length, false)
                                .of(ids.length);
                        KvCache cache = KvCache.allocate(
                                memory, GreedyDecoding.CACHE, config.layers(), plan.keyValueHeads(), config.headSize());
                        BatchLayout layout = GreedyDecoding.layout(new int[][] {ids}, new int[1], new int[][] {ids}, 0);
                        VocabParallelEmbedding.load(parameters, kernels, tensor, config, plan)
                                .forward(ids, a.hidden());
                        states.add(last(a.hidden()));
                        for (int layer = 0; layer < config.layers(); layer++) {
                            DecoderLayer.load(parameters, kernels, tensor, rotary, layer, config, plan)
                                    .forward(a, layout, cache.layers().get(layer), false);
                            kernels.add(a.hidden(), a.delta());
                            states.add(last(a.hidden()));
                        }
                        Tensor norm = parameters.vector("model.norm.weight", config.hiddenSize());
                        kernels.rmsNorm(a.hidden(), norm, config.normEpsilon(), a.normed());
                        states.add(last(a.normed()));
                    }
                    return concat(states);
                })
                .get(0);
    }

    private static float[] last(Tensor x) {
        return x.rows(x.shape().dim(0) - 1, 1).buffer().toHost().toFloats();
    }

    private static float[] concat(List<float[]> parts) {
        float[] all = new float[parts.stream().mapToInt(part -> part.length).sum()];
        int at = 0;
        for (float[] part : parts) {
            System.arraycopy(part, 0, all, at, part.length);
            at += part.length;
        }
        return all;
    }

    @ParameterizedTest
    @CsvSource({"1,1", "2,1", "4,1", "8,1", "2,2", "1,3", "2,4"})
    void theBundledModelTellsItsGoldenStories(int tensor, int pipeline) {
        JsonNode cases = Golden.json("/org/lockstep/models/fable/golden.json").get("cases");
        ModelFiles files = ModelFiles.resource("/org/lockstep/models/fable");
        List<JsonNode> stories =
                StreamSupport.stream(cases.spliterator(), false).limit(4).toList();
        int[][] prompts = stories.stream()
                .map(story -> Golden.ints(story.get("prompt_ids")))
                .toArray(int[][]::new);
        int[][] expected = stories.stream()
                .map(story -> Golden.ints(story.get("greedy_ids")))
                .toArray(int[][]::new);
        List<GreedyDecoding.Seen> split = ModelWorld.run(
                tensor,
                pipeline,
                (state, communicators, kernels) ->
                        GreedyDecoding.run(files, state, communicators, kernels, prompts, 64));
        GreedyDecoding.Seen whole = ModelWorld.run(
                        1,
                        1,
                        (state, communicators, kernels) ->
                                GreedyDecoding.run(files, state, communicators, kernels, prompts, 1))
                .get(0);
        split.forEach(seen -> assertThat(seen.tokens()).isDeepEqualTo(expected));
        float[][] logits = split.get(split.size() - 1).logits();
        assertThat(logits).as("the bits of the whole model").isDeepEqualTo(whole.logits());
        for (int p = 0; p < prompts.length; p++) {
            JsonNode golden = stories.get(p).get("last_logits");
            double bound = 1e-4 * golden.get("max").doubleValue();
            for (int i = 0; i < 16; i++) {
                assertThat(Math.abs(logits[p][i] - golden.get("first16").get(i).doubleValue()))
                        .isLessThanOrEqualTo(bound);
            }
            assertThat(GreedyDecoding.argmax(logits[p]))
                    .isEqualTo(golden.get("argmax").intValue());
            float[] row = logits[p];
            double l2 = Math.sqrt(IntStream.range(0, row.length)
                    .mapToDouble(i -> (double) row[i] * row[i])
                    .sum());
            assertThat(Math.abs(l2 - golden.get("l2").doubleValue())).isLessThan(1e-2);
        }
    }

    private static void assertClose(String what, float[] actual, float[] expected) {
        assertThat(actual).as(what).hasSameSizeAs(expected);
        double largest = 0;
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            worst = Math.max(worst, Math.abs(actual[i] - expected[i]));
        }
        assertThat(worst).as("%s: the largest difference", what).isLessThanOrEqualTo(1e-4 * largest);
    }

    /** The oracle's folder: {@code -Dlockstep.oracle}, else shared/oracle in a folder above the checkout. */
    private static Optional<Path> oracle() {
        String given = System.getProperty("lockstep.oracle");
        Stream<Path> places = given != null
                ? Stream.of(Path.of(given))
                : Stream.iterate(Path.of("").toAbsolutePath(), at -> at != null, Path::getParent)
                        .map(at -> at.resolve("shared").resolve("oracle"));
        return places.filter(place -> Files.isDirectory(place.resolve("models").resolve("stories260K")))
                .findFirst();
    }
}
