package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Every row of the table recorded from Megatron-Core's rank generator: seven orders, both views, an offset. */
class RankGeneratorTableTest {
    private static final List<JsonNode> ROWS = Table.read("megatron.jsonl.gz");

    @Test
    void everyGroupOfEveryOrderIsTheSame() {
        List<JsonNode> made = ROWS.stream().filter(row -> !row.has("error")).toList();
        assertThat(made).hasSize(737);
        for (JsonNode row : made) {
            GridView view = view(row);
            forEachToken(row, (axes, expected) -> {
                List<ProcessGroup> groups = view.groups(axes);
                assertThat(Table.ranks(groups)).as("%s of %s", axes, row).isEqualTo(expected);
                for (ProcessGroup group : groups) {
                    group.stream()
                            .forEach(rank -> assertThat(view.group(axes, rank)).isEqualTo(group));
                }
            });
        }
    }

    @Test
    void aGridShowsTheSameGroupsInItsTwoViews() {
        for (JsonNode row : ROWS) {
            RankOrder order = RankOrder.parse(row.get("order").textValue());
            if (row.has("error")) {
                continue;
            }
            if (row.get("view").textValue().equals("dense")) {
                ParallelSizes sizes = ParallelSizes.tensor(size(row, "tp"))
                        .withContext(size(row, "cp"))
                        .withData(size(row, "dp"))
                        .withPipeline(size(row, "pp"));
                int world = sizes.tp() * sizes.cp() * sizes.dp() * sizes.pp();
                ProcessGrid grid = ProcessGrid.of(world, sizes, order, size(row, "offset"));
                forEachToken(
                        row,
                        (axes, expected) ->
                                assertThat(Table.ranks(grid.groups(axes))).isEqualTo(expected));
            } else if (order.equals(RankOrder.DEFAULT)) {
                ParallelSizes sizes = ParallelSizes.tensor(size(row, "tp"))
                        .withExpert(size(row, "ep"))
                        .withPipeline(size(row, "pp"));
                int world = sizes.tp() * sizes.ep() * size(row, "dp") * sizes.pp();
                ProcessGrid grid = ProcessGrid.of(world, sizes, order);
                forEachToken(
                        row,
                        (axes, expected) -> assertThat(Table.ranks(grid.expert().groups(axes)))
                                .isEqualTo(expected));
            }
        }
    }

    @Test
    void anOrderThatLeavesOutADividedAxisIsRefused() {
        List<JsonNode> rows = failing("RuntimeError");
        assertThat(rows).hasSize(265);
        for (JsonNode row : rows) {
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> view(row))
                    .withMessageMatching("order " + row.get("order").textValue()
                            + " does not name axis (tp|cp|ep|dp|pp), which has size ([2-9]|[1-9]\\d+)");
        }
    }

    @Test
    void contextAndExpertDoNotDivideOneViewTogether() {
        List<JsonNode> rows = failing("AssertionError");
        assertThat(rows).hasSize(1);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> view(rows.get(0)))
                .withMessage("context (2) and expert (2) cannot both be above 1 in one view of the ranks");
    }

    private interface Expectation {
        void check(Set<Axis> axes, List<List<Integer>> expected);
    }

    private static void forEachToken(JsonNode row, Expectation expectation) {
        row.get("groups")
                .fields()
                .forEachRemaining(
                        group -> expectation.check(Axis.parseSet(group.getKey()), Table.lists(group.getValue())));
    }

    private static List<JsonNode> failing(String type) {
        return ROWS.stream()
                .filter(row -> row.has("error") && row.get("error").textValue().equals(type))
                .toList();
    }

    private static GridView view(JsonNode row) {
        Map<Axis, Integer> sizes = new EnumMap<>(Axis.class);
        for (Axis axis : Axis.values()) {
            sizes.put(axis, size(row, axis.token()));
        }
        return new GridView(sizes, RankOrder.parse(row.get("order").textValue()), size(row, "offset"));
    }

    private static int size(JsonNode row, String name) {
        return row.get(name).intValue();
    }
}
