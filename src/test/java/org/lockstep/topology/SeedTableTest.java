package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Every row of the table recorded from the original {@code parallel_state.py}, worlds 1 to 24. */
class SeedTableTest {
    private static final List<JsonNode> ROWS = Table.read("seed.jsonl.gz");

    @Test
    void everyWorldThatTheOriginalMadeIsTheSame() {
        List<JsonNode> made = ROWS.stream().filter(row -> !row.has("error")).toList();
        assertThat(made).hasSize(573);
        for (JsonNode row : made) {
            ProcessGrid grid = grid(row);
            assertThat(inOrderOfCreation(grid)).as("%s", grid).isEqualTo(Table.lists(row.get("new_group_calls")));
            assertThat(row.get("ranks")).hasSize(grid.worldSize());
            for (int rank = 0; rank < grid.worldSize(); rank++) {
                matches(grid.state(rank), row.get("ranks").get(rank));
            }
        }
    }

    @Test
    void everyWorldThatDoesNotDivideIsRefusedWithTheEquation() {
        List<JsonNode> rows = failing("RuntimeError", "divisible");
        assertThat(rows).hasSize(58);
        for (JsonNode row : rows) {
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> grid(row))
                    .withMessage("world size (%d) is not divisible by tensor (%d) × pipeline (%d)"
                            .formatted(number(row, "world"), number(row, "tp"), number(row, "pp")));
        }
    }

    /** A fault of the original, later corrected there: it wanted more than two stages for a virtual pipeline. */
    @Test
    void twoStagesMayHaveAVirtualPipeline() {
        List<JsonNode> rows = failing("RuntimeError", "greater than 2");
        assertThat(rows).hasSize(20);
        for (JsonNode row : rows) {
            ProcessGrid grid = grid(row);
            assertThat(grid.sizes().pp()).isEqualTo(2);
            int chunks = grid.state(0).virtualPipelineModelParallelWorldSize().orElseThrow();
            for (int rank = 0; rank < grid.worldSize(); rank++) {
                ParallelState state = grid.state(rank);
                assertThat(state.isPipelineFirstStage()).isEqualTo(state.pipelineModelParallelRank() == 0);
                assertThat(state.isPipelineLastStage(chunks - 1)).isEqualTo(state.pipelineModelParallelRank() == 1);
            }
        }
    }

    /** A fault of the original: an IndexError. */
    @Test
    void splitRankEqualToThePipelineIsRefusedWithTheNumbers() {
        List<JsonNode> rows = failing("IndexError", "index out of range");
        assertThat(rows).hasSize(60);
        for (JsonNode row : rows) {
            assertThat(row.get("split")).isEqualTo(row.get("pp"));
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> grid(row))
                    .withMessage("split rank (%d) must be less than pipeline (%d)"
                            .formatted(number(row, "split"), number(row, "pp")));
        }
    }

    private static void matches(ParallelState state, JsonNode seen) {
        assertThat(List.of(
                        state.tensorModelParallelRank(),
                        state.tensorModelParallelWorldSize(),
                        state.tensorModelParallelSrcRank()))
                .as("tensor of %s", state)
                .isEqualTo(Table.ints(seen.get("tp")));
        assertThat(List.of(state.dataParallelRank(), state.dataParallelWorldSize(), state.dataParallelSrcRank()))
                .as("data of %s", state)
                .isEqualTo(Table.ints(seen.get("dp")));
        assertThat(List.of(
                        state.pipelineModelParallelRank(),
                        state.pipelineModelParallelWorldSize(),
                        state.pipelineModelParallelFirstRank(),
                        state.pipelineModelParallelLastRank(),
                        state.pipelineModelParallelNextRank(),
                        state.pipelineModelParallelPrevRank()))
                .as("pipeline of %s", state)
                .isEqualTo(Table.ints(seen.get("pp")));
        assertThat(state.modelParallelGroup().ranks()).isEqualTo(Table.ints(seen.get("model")));
        assertThat(state.embeddingGroup().map(ProcessGroup::ranks).orElse(null)).isEqualTo(nullable(seen.get("emb")));
        assertThat(state.positionEmbeddingGroup().map(ProcessGroup::ranks).orElse(null))
                .isEqualTo(nullable(seen.get("posemb")));
        assertThat(state.isRankInPositionEmbeddingGroup())
                .isEqualTo(seen.get("in_posemb").booleanValue());

        List<Boolean> split = Table.booleans(seen.get("split"));
        // A fault of the original: "at split" was true everywhere when there was no split.
        boolean atSplit = state.pipelineModelParallelSplitRank().isPresent() && split.get(2);
        assertThat(List.of(
                        state.isPipelineStageBeforeSplit(),
                        state.isPipelineStageAfterSplit(),
                        state.isPipelineStageAtSplit()))
                .as("split of %s", state)
                .containsExactly(split.get(0), split.get(1), atSplit);

        assertThat(List.of(
                        state.isPipelineFirstStage(true),
                        state.isPipelineLastStage(true),
                        state.isRankInEmbeddingGroup(true)))
                .isEqualTo(Table.booleans(seen.get("ignore_virtual")));
        JsonNode virtual = seen.get("virtual");
        assertThat(virtual)
                .hasSize(state.virtualPipelineModelParallelWorldSize().orElse(1));
        for (int chunk = 0; chunk < virtual.size(); chunk++) {
            List<Boolean> expected = Table.booleans(virtual.get(chunk));
            ParallelState at = state.withVirtualPipelineModelParallelRank(chunk);
            assertThat(List.of(at.isPipelineFirstStage(), at.isPipelineLastStage(), at.isRankInEmbeddingGroup()))
                    .isEqualTo(expected);
            assertThat(List.of(
                            at.isPipelineFirstStage(false),
                            at.isPipelineLastStage(false),
                            at.isRankInEmbeddingGroup(false)))
                    .isEqualTo(expected);
            assertThat(List.of(
                            state.isPipelineFirstStage(chunk),
                            state.isPipelineLastStage(chunk),
                            state.isRankInEmbeddingGroup(chunk)))
                    .isEqualTo(expected);
        }
    }

    /** Data, model, tensor, then for each pipeline itself and its two embedding groups. */
    private static List<List<Integer>> inOrderOfCreation(ProcessGrid grid) {
        List<ProcessGroup> groups = new ArrayList<>(grid.groups(GroupKind.DATA));
        groups.addAll(grid.groups(GroupKind.MODEL));
        groups.addAll(grid.groups(GroupKind.TENSOR));
        List<ProcessGroup> pipelines = grid.groups(GroupKind.PIPELINE);
        List<ProcessGroup> embeddings = grid.groups(GroupKind.EMBEDDING);
        List<ProcessGroup> positions = grid.groups(GroupKind.POSITION_EMBEDDING);
        for (int i = 0; i < pipelines.size(); i++) {
            groups.addAll(List.of(pipelines.get(i), embeddings.get(i), positions.get(i)));
        }
        return Table.ranks(groups);
    }

    private static List<JsonNode> failing(String type, String message) {
        return ROWS.stream()
                .filter(row -> row.has("error"))
                .filter(row -> row.get("error").get(0).textValue().equals(type))
                .filter(row -> row.get("error").get(1).textValue().contains(message))
                .toList();
    }

    private static ProcessGrid grid(JsonNode row) {
        ParallelSizes sizes = ParallelSizes.tensor(number(row, "tp"))
                .withPipeline(number(row, "pp"))
                .withVirtualPipeline(number(row, "vpp"))
                .withSplitRank(number(row, "split"));
        return ProcessGrid.of(number(row, "world"), sizes);
    }

    private static Integer number(JsonNode row, String name) {
        return row.get(name).isNull() ? null : row.get(name).intValue();
    }

    private static List<Integer> nullable(JsonNode ranks) {
        return ranks.isNull() ? null : Table.ints(ranks);
    }
}
