package org.lockstep.topology;

import static java.util.Map.entry;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Every function of the original {@code parallel_state.py} has its counterpart under the name that the rule gives, and
 * the counterpart is called here; or it is absent for a reason.
 */
class SeedParityTest {
    /** Rank 5 of 16, tensor 2, pipeline 4, with two chunks and a split: stage 1, tensor rank 1, data rank 0. */
    private static final ParallelState STATE = ParallelState.initializeModelParallel(
            16,
            5,
            ParallelSizes.tensor(2).withPipeline(4).withVirtualPipeline(2).withSplitRank(2));

    private static final Map<String, String> ABSENT = Map.of(
            "model_parallel_is_initialized",
            "a value exists whole or not at all",
            "destroy_model_parallel",
            "a value holds nothing; connections are closed by communicators");

    private record Answer(Function<ParallelState, Object> call, Object expected) {}

    private static final Map<String, Answer> PRESENT = Map.ofEntries(
            answer("initialize_model_parallel", state -> state, STATE),
            answer("get_model_parallel_group", s -> ranks(s.modelParallelGroup()), List.of(0, 1, 4, 5, 8, 9, 12, 13)),
            answer("get_tensor_model_parallel_group", s -> ranks(s.tensorModelParallelGroup()), List.of(4, 5)),
            answer(
                    "get_pipeline_model_parallel_group",
                    s -> ranks(s.pipelineModelParallelGroup()),
                    List.of(1, 5, 9, 13)),
            answer("get_data_parallel_group", s -> ranks(s.dataParallelGroup()), List.of(5, 7)),
            answer("get_embedding_group", ParallelState::embeddingGroup, Optional.empty()),
            answer("get_position_embedding_group", ParallelState::positionEmbeddingGroup, Optional.empty()),
            answer(
                    "set_tensor_model_parallel_world_size",
                    s -> s.withTensorModelParallelWorldSize(4).tensorModelParallelWorldSize(),
                    4),
            answer(
                    "set_pipeline_model_parallel_world_size",
                    s -> s.withPipelineModelParallelWorldSize(8).pipelineModelParallelWorldSize(),
                    8),
            answer("get_tensor_model_parallel_world_size", ParallelState::tensorModelParallelWorldSize, 2),
            answer("get_pipeline_model_parallel_world_size", ParallelState::pipelineModelParallelWorldSize, 4),
            answer(
                    "set_tensor_model_parallel_rank",
                    s -> s.withTensorModelParallelRank(0).tensorModelParallelRank(),
                    0),
            answer(
                    "set_pipeline_model_parallel_rank",
                    s -> s.withPipelineModelParallelRank(3).pipelineModelParallelRank(),
                    3),
            answer(
                    "set_pipeline_model_parallel_split_rank",
                    s -> s.withPipelineModelParallelSplitRank(1)
                            .pipelineModelParallelSplitRank()
                            .orElseThrow(),
                    1),
            answer("get_tensor_model_parallel_rank", ParallelState::tensorModelParallelRank, 1),
            answer("get_pipeline_model_parallel_rank", ParallelState::pipelineModelParallelRank, 1),
            answer("is_pipeline_first_stage", ParallelState::isPipelineFirstStage, false),
            answer("is_pipeline_last_stage", ParallelState::isPipelineLastStage, false),
            answer("is_rank_in_embedding_group", ParallelState::isRankInEmbeddingGroup, false),
            answer("is_rank_in_position_embedding_group", ParallelState::isRankInPositionEmbeddingGroup, false),
            answer("is_pipeline_stage_before_split", ParallelState::isPipelineStageBeforeSplit, true),
            answer("is_pipeline_stage_after_split", ParallelState::isPipelineStageAfterSplit, false),
            answer("is_pipeline_stage_at_split", ParallelState::isPipelineStageAtSplit, true),
            answer(
                    "get_virtual_pipeline_model_parallel_rank",
                    s -> s.virtualPipelineModelParallelRank().orElseThrow(),
                    0),
            answer(
                    "set_virtual_pipeline_model_parallel_rank",
                    s -> s.withVirtualPipelineModelParallelRank(1)
                            .virtualPipelineModelParallelRank()
                            .orElseThrow(),
                    1),
            answer(
                    "get_virtual_pipeline_model_parallel_world_size",
                    s -> s.virtualPipelineModelParallelWorldSize().orElseThrow(),
                    2),
            answer("get_tensor_model_parallel_src_rank", ParallelState::tensorModelParallelSrcRank, 4),
            answer("get_data_parallel_src_rank", ParallelState::dataParallelSrcRank, 5),
            answer("get_pipeline_model_parallel_first_rank", ParallelState::pipelineModelParallelFirstRank, 1),
            answer("get_pipeline_model_parallel_last_rank", ParallelState::pipelineModelParallelLastRank, 13),
            answer("get_pipeline_model_parallel_next_rank", ParallelState::pipelineModelParallelNextRank, 9),
            answer("get_pipeline_model_parallel_prev_rank", ParallelState::pipelineModelParallelPrevRank, 1),
            answer("get_data_parallel_world_size", ParallelState::dataParallelWorldSize, 2),
            answer("get_data_parallel_rank", ParallelState::dataParallelRank, 0));

    @Test
    void everyFunctionIsPresentOrAbsentForAReason() throws Exception {
        List<String> listed = new ArrayList<>(PRESENT.keySet());
        listed.addAll(ABSENT.keySet());
        assertThat(listed).containsExactlyInAnyOrderElementsOf(functions());
    }

    @Test
    void everyPresentFunctionHasTheNameThatTheRuleGives() {
        Stream<String> methods = Arrays.stream(ParallelState.class.getMethods()).map(Method::getName);
        assertThat(methods.toList())
                .containsAll(
                        PRESENT.keySet().stream().map(SeedParityTest::javaName).toList());
    }

    @Test
    void everyPresentFunctionAnswersAsTheOriginal() {
        PRESENT.forEach((name, answer) ->
                assertThat(answer.call().apply(STATE)).as(name).isEqualTo(answer.expected()));
    }

    private static Map.Entry<String, Answer> answer(
            String name, Function<ParallelState, Object> call, Object expected) {
        return entry(name, new Answer(call, expected));
    }

    private static List<Integer> ranks(ProcessGroup group) {
        return group.ranks();
    }

    private static String javaName(String name) {
        StringBuilder java = new StringBuilder();
        String rest = name.startsWith("get_") ? name.substring(4) : name.replaceFirst("^set_", "with_");
        for (String word : rest.split("_")) {
            java.append(java.isEmpty() ? word : Character.toUpperCase(word.charAt(0)) + word.substring(1));
        }
        return java.toString();
    }

    private static List<String> functions() throws Exception {
        try (InputStream file =
                Objects.requireNonNull(SeedParityTest.class.getResourceAsStream("seed-functions.txt"))) {
            return new String(file.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .toList();
        }
    }
}
