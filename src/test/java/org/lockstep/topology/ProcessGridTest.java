package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class ProcessGridTest {
    private static final ProcessGrid SIXTEEN =
            ProcessGrid.of(16, ParallelSizes.tensor(2).withPipeline(4));

    /** The docstring of the original. */
    @Test
    void sixteenRanksInTheDefaultOrder() {
        assertGroups(SIXTEEN, GroupKind.TENSOR, "[0,1] [2,3] [4,5] [6,7] [8,9] [10,11] [12,13] [14,15]");
        assertGroups(SIXTEEN, GroupKind.PIPELINE, "[0,4,8,12] [1,5,9,13] [2,6,10,14] [3,7,11,15]");
        assertGroups(SIXTEEN, GroupKind.DATA, "[0,2] [1,3] [4,6] [5,7] [8,10] [9,11] [12,14] [13,15]");
        assertGroups(SIXTEEN, GroupKind.MODEL, "[0,1,4,5,8,9,12,13] [2,3,6,7,10,11,14,15]");
        assertGroups(SIXTEEN, GroupKind.EMBEDDING, "[0,12] [1,13] [2,14] [3,15]");
        assertGroups(SIXTEEN, GroupKind.POSITION_EMBEDDING, "[0] [1] [2] [3]");
        assertGroups(SIXTEEN, GroupKind.WORLD, "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]");
        assertThat(text(SIXTEEN.groups("tp-dp"))).isEqualTo("[0,1,2,3] [4,5,6,7] [8,9,10,11] [12,13,14,15]");
        assertThat(SIXTEEN.groups("dp-tp")).isEqualTo(SIXTEEN.groups("tp-dp"));
    }

    @Test
    void sixteenRanksWithASplit() {
        ProcessGrid grid =
                ProcessGrid.of(16, ParallelSizes.tensor(2).withPipeline(4).withSplitRank(2));
        assertGroups(grid, GroupKind.EMBEDDING, "[0,8,12] [1,9,13] [2,10,14] [3,11,15]");
        assertGroups(grid, GroupKind.POSITION_EMBEDDING, "[0,8] [1,9] [2,10] [3,11]");
    }

    @Test
    void sixteenRanksWithPipelineInsideData() {
        for (RankOrder order : List.of(RankOrder.TP_PP_DP, RankOrder.parse("tp-pp-dp"))) {
            ProcessGrid grid = ProcessGrid.of(16, ParallelSizes.tensor(2).withPipeline(4), order);
            assertGroups(grid, GroupKind.PIPELINE, "[0,2,4,6] [1,3,5,7] [8,10,12,14] [9,11,13,15]");
            assertGroups(grid, GroupKind.DATA, "[0,8] [1,9] [2,10] [3,11] [4,12] [5,13] [6,14] [7,15]");
            assertGroups(grid, GroupKind.MODEL, "[0,1,2,3,4,5,6,7] [8,9,10,11,12,13,14,15]");
        }
    }

    @Test
    void sixteenRanksWithContext() {
        ProcessGrid grid =
                ProcessGrid.of(16, ParallelSizes.tensor(2).withContext(2).withPipeline(2));
        assertThat(grid.sizes().dp()).isEqualTo(2);
        assertGroups(grid, GroupKind.CONTEXT, "[0,2] [1,3] [4,6] [5,7] [8,10] [9,11] [12,14] [13,15]");
        assertGroups(grid, GroupKind.DATA, "[0,4] [1,5] [2,6] [3,7] [8,12] [9,13] [10,14] [11,15]");
        assertGroups(grid, GroupKind.PIPELINE, "[0,8] [1,9] [2,10] [3,11] [4,12] [5,13] [6,14] [7,15]");
        assertGroups(grid, GroupKind.MODEL, "[0,1,8,9] [2,3,10,11] [4,5,12,13] [6,7,14,15]");
        assertThat(text(grid.groups("dp-cp"))).isEqualTo("[0,2,4,6] [1,3,5,7] [8,10,12,14] [9,11,13,15]");
        assertThat(text(grid.groups("tp-dp"))).isEqualTo("[0,1,4,5] [2,3,6,7] [8,9,12,13] [10,11,14,15]");
        assertThat(text(grid.groups("tp-dp-cp"))).isEqualTo("[0,1,2,3,4,5,6,7] [8,9,10,11,12,13,14,15]");
    }

    @Test
    void expertsFoldOverTheSameRanks() {
        ParallelSizes dense = ParallelSizes.tensor(2).withContext(2).withPipeline(2);
        ProcessGrid wide = ProcessGrid.of(16, dense.withExpert(4));
        assertThat(wide.sizes().edp()).isEqualTo(1);
        assertGroups(wide, GroupKind.EXPERT, "[0,2,4,6] [1,3,5,7] [8,10,12,14] [9,11,13,15]");
        assertThat(text(wide.expert().groups(Axis.parseSet("tp-ep"))))
                .isEqualTo("[0,1,2,3,4,5,6,7] [8,9,10,11,12,13,14,15]");
        assertThat(wide.groups(GroupKind.EXPERT_DATA)).hasSize(16);

        ProcessGrid narrow = ProcessGrid.of(16, dense.withExpert(2).withExpertTensor(2));
        assertGroups(narrow, GroupKind.EXPERT, "[0,2] [1,3] [4,6] [5,7] [8,10] [9,11] [12,14] [13,15]");
        assertGroups(narrow, GroupKind.EXPERT_DATA, "[0,4] [1,5] [2,6] [3,7] [8,12] [9,13] [10,14] [11,15]");

        ProcessGrid folded = ProcessGrid.of(16, dense.withExpert(4).withExpertTensor(1));
        assertGroups(folded, GroupKind.EXPERT, "[0,1,2,3] [4,5,6,7] [8,9,10,11] [12,13,14,15]");
        assertGroups(folded, GroupKind.EXPERT_DATA, "[0,4] [1,5] [2,6] [3,7] [8,12] [9,13] [10,14] [11,15]");
        assertThat(folded.groups(GroupKind.EXPERT_TENSOR)).hasSize(16);
        assertThat(folded.coordinate(5, Axis.EP)).isEqualTo(1);
        assertThat(folded.expert().groups(Axis.parseSet("pp")))
                .isEqualTo(folded.dense().groups(Axis.parseSet("pp")));
    }

    @Test
    void pipelinesOfBothViewsMustBeTheSame() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ProcessGrid.of(
                        16, ParallelSizes.tensor(2).withPipeline(2).withExpert(2), RankOrder.TP_PP_DP))
                .withMessageContaining("pipelines of the dense and the expert view differ")
                .withMessageContaining("2 and 4 ranks apart")
                .withMessageContaining("data (4) equal to expert data (2)");
        ProcessGrid agreeing = ProcessGrid.of(
                16, ParallelSizes.tensor(2).withPipeline(2).withExpert(2).withExpertTensor(1), RankOrder.TP_PP_DP);
        assertGroups(agreeing, GroupKind.EXPERT, "[0,1] [2,3] [4,5] [6,7] [8,9] [10,11] [12,13] [14,15]");
    }

    @Test
    void withoutExpertsTheirGroupsAreTheNaturalOnes() {
        assertThat(SIXTEEN.groups(GroupKind.EXPERT)).hasSize(16).allMatch(group -> group.size() == 1);
        assertThat(Table.ranks(SIXTEEN.groups(GroupKind.EXPERT_TENSOR)))
                .isEqualTo(Table.ranks(SIXTEEN.groups(GroupKind.TENSOR)));
        assertThat(Table.ranks(SIXTEEN.groups(GroupKind.EXPERT_DATA)))
                .isEqualTo(Table.ranks(SIXTEEN.groups(GroupKind.DATA)));
        ProcessGrid context =
                ProcessGrid.of(8, ParallelSizes.tensor(1).withContext(2).withPipeline(2), RankOrder.TP_PP_DP);
        assertThat(context.coordinate(7, Axis.EP)).isZero();
    }

    @Test
    void otherGoldenOrders() {
        assertGroups(
                ProcessGrid.of(8, ParallelSizes.tensor(2).withPipeline(2), RankOrder.parse("tp-pp-dp")),
                GroupKind.DATA,
                "[0,4] [1,5] [2,6] [3,7]");
        List<ProcessGroup> data = ProcessGrid.of(
                        24, ParallelSizes.tensor(2).withPipeline(4), RankOrder.parse("tp-dp-pp"))
                .groups(GroupKind.DATA);
        assertThat(List.of(data.get(0).ranks(), data.get(1).ranks(), data.get(7).ranks()))
                .containsExactly(List.of(0, 2, 4), List.of(1, 3, 5), List.of(19, 21, 23));
    }

    @Test
    void rankOffsetShiftsEveryGroup() {
        ProcessGrid shifted = ProcessGrid.of(16, SIXTEEN.sizes(), RankOrder.DEFAULT, 100);
        for (GroupKind kind : GroupKind.values()) {
            List<List<Integer>> expected = SIXTEEN.groups(kind).stream()
                    .map(group -> group.stream().map(rank -> rank + 100).boxed().toList())
                    .toList();
            assertThat(Table.ranks(shifted.groups(kind))).as("%s", kind).isEqualTo(expected);
        }
        assertThat(shifted.state(105).pipelineModelParallelNextRank()).isEqualTo(109);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> shifted.state(5))
                .withMessage("rank (5) must be in 100..115");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ProcessGrid.of(16, SIXTEEN.sizes(), RankOrder.DEFAULT, Integer.MAX_VALUE - 3))
                .withMessageContaining("rank offset");
    }

    @Test
    void nextStageOfTheOriginalsOwnTest() {
        ProcessGrid grid = ProcessGrid.of(8, ParallelSizes.tensor(2).withPipeline(4));
        for (int rank = 0; rank < 8; rank++) {
            assertThat(grid.state(rank).pipelineModelParallelNextRank()).isEqualTo((rank + 2) % 8);
            assertThat(grid.state(rank).pipelineModelParallelPrevRank()).isEqualTo((rank + 6) % 8);
        }
    }

    @Test
    void everyKindPartitionsEveryWorld() {
        forEveryFactorisation(grid -> {
            int[] world = IntStream.range(0, grid.worldSize()).toArray();
            for (GroupKind kind : GroupKind.values()) {
                List<ProcessGroup> groups = grid.groups(kind);
                int[] members = groups.stream()
                        .flatMapToInt(ProcessGroup::stream)
                        .sorted()
                        .toArray();
                boolean someRanksOnly = kind == GroupKind.EMBEDDING || kind == GroupKind.POSITION_EMBEDDING;
                if (someRanksOnly
                        ? Arrays.stream(members).distinct().count() != members.length
                        : !Arrays.equals(members, world)) {
                    throw new AssertionError(kind + " of " + grid + " is " + groups);
                }
                for (int i = 0; i < groups.size(); i++) {
                    ProcessGroup group = groups.get(i);
                    check(group.index() == i && group.name().equals(kind.token()), grid, group);
                    check(grid.group(kind, group.last()).equals(Optional.of(group)), grid, group);
                }
            }
        });
    }

    @Test
    void tensorAndPipelineMeetInTheRankItself() {
        forEveryFactorisation(grid -> {
            for (int rank = 0; rank < grid.worldSize(); rank++) {
                ParallelState state = grid.state(rank);
                ProcessGroup tensor = state.tensorModelParallelGroup();
                ProcessGroup pipeline = state.pipelineModelParallelGroup();
                int[] both = tensor.stream().filter(pipeline::contains).toArray();
                check(Arrays.equals(both, new int[] {rank}), grid, tensor);
                check(tensor.rankInGroup(rank) == state.tensorModelParallelRank(), grid, tensor);
                check(pipeline.rankInGroup(rank) == state.pipelineModelParallelRank(), grid, pipeline);
                check(pipeline.next(pipeline.previous(rank)) == rank, grid, pipeline);
                check(pipeline.previous(pipeline.next(rank)) == rank, grid, pipeline);
            }
        });
    }

    @Test
    @Timeout(value = 60, unit = TimeUnit.SECONDS)
    void aHundredThousandRanksAreNoTrouble() {
        ProcessGrid grid =
                ProcessGrid.of(100_000, ParallelSizes.tensor(8).withPipeline(10).withExpert(2));
        assertThat(grid.sizes().dp()).isEqualTo(1250);
        for (GroupKind kind : GroupKind.values()) {
            long members =
                    grid.groups(kind).stream().mapToLong(ProcessGroup::size).sum();
            assertThat(members)
                    .isEqualTo(
                            switch (kind) {
                                case EMBEDDING -> 20_000;
                                case POSITION_EMBEDDING -> 10_000;
                                default -> 100_000;
                            });
        }
        GridView dense = grid.dense();
        long sum = IntStream.range(0, 100_000)
                .mapToLong(rank -> dense.coordinate(rank, Axis.DP))
                .sum();
        assertThat(sum).isEqualTo(80L * 1249 * 1250 / 2);
        assertThat(grid.state(99_999).pipelineModelParallelFirstRank()).isEqualTo(9_999);
    }

    private static void forEveryFactorisation(Consumer<ProcessGrid> property) {
        for (int world = 1; world <= 64; world++) {
            for (int tensor = 1; tensor <= world; tensor++) {
                for (int pipeline = 1; tensor * pipeline <= world; pipeline++) {
                    for (int context = 1; tensor * pipeline * context <= world; context++) {
                        if (world % (tensor * pipeline * context) == 0) {
                            ParallelSizes sizes = ParallelSizes.tensor(tensor)
                                    .withPipeline(pipeline)
                                    .withContext(context)
                                    .withSplitRank(pipeline / 2);
                            property.accept(ProcessGrid.of(world, sizes));
                            if (context == 1) {
                                property.accept(ProcessGrid.of(world, sizes, RankOrder.TP_PP_DP));
                                property.accept(ProcessGrid.of(world, sizes, RankOrder.parse("pp-dp-tp")));
                            }
                        }
                    }
                }
            }
        }
    }

    private static void check(boolean holds, ProcessGrid grid, ProcessGroup group) {
        if (!holds) {
            throw new AssertionError(group + " of " + grid);
        }
    }

    private static void assertGroups(ProcessGrid grid, GroupKind kind, String expected) {
        assertThat(text(grid.groups(kind))).isEqualTo(expected);
    }

    private static String text(List<ProcessGroup> groups) {
        List<String> texts = new ArrayList<>();
        groups.forEach(group -> texts.add(group.ranks().toString().replace(" ", "")));
        return String.join(" ", texts);
    }
}
