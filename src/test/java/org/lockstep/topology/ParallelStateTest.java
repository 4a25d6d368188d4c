package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ParallelStateTest {
    private static final ParallelSizes SIZES = ParallelSizes.tensor(2).withPipeline(4);
    private static final ParallelState FIVE = ProcessGrid.of(16, SIZES).state(5);

    @Test
    void tellsItsPlace() {
        assertThat(FIVE).hasToString("rank 5/16 tp 1/2 dp 0/2 pp 1/4");
        assertThat(FIVE.modelParallelSrcRank()).isZero();
        assertThat(FIVE.group(Axis.parseSet("tp-dp"))).hasToString("tp-dp[1]={4,5,6,7}");
        assertThat(FIVE.worldGroup().size()).isEqualTo(16);
        assertThat(FIVE.contextParallelGroup().ranks()).containsExactly(5);
        assertThat(FIVE.contextParallelRank()).isZero();
        assertThat(FIVE.contextParallelWorldSize()).isOne();
    }

    @Test
    void answersTheSameForEveryWayOfMakingIt() {
        assertThat(ParallelState.initializeModelParallel(16, 5, SIZES))
                .isEqualTo(FIVE)
                .hasSameHashCodeAs(FIVE);
    }

    @Test
    void neighboursWrapOrEndAsAsked() {
        ParallelState first = FIVE.withPipelineModelParallelRank(0);
        ParallelState last = FIVE.withPipelineModelParallelRank(3);
        assertThat(last.pipelineModelParallelNextRank()).isEqualTo(first.rank());
        assertThat(first.pipelineModelParallelPrevRank()).isEqualTo(last.rank());
        assertThat(last.nextPipelineStageRank()).isEmpty();
        assertThat(first.previousPipelineStageRank()).isEmpty();
        assertThat(FIVE.nextPipelineStageRank()).hasValue(9);
        assertThat(FIVE.previousPipelineStageRank()).hasValue(1);
    }

    @Test
    void sourceRanksHoldInAnyOrder() {
        ParallelState state = ProcessGrid.of(8, ParallelSizes.tensor(2), RankOrder.parse("dp-tp-pp"))
                .state(6);
        assertThat(state.tensorModelParallelGroup().ranks()).containsExactly(2, 6);
        assertThat(state.tensorModelParallelSrcRank()).isEqualTo(2); // 6 / 2 * 2 would be 6
    }

    @Test
    void settersGiveConsistentStates() {
        assertThat(FIVE.withTensorModelParallelRank(0).rank()).isEqualTo(4);
        assertThat(FIVE.withPipelineModelParallelRank(3).rank()).isEqualTo(13);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FIVE.withPipelineModelParallelRank(4))
                .withMessage("pp rank (4) must be in 0..3");
        ParallelState wider = FIVE.withTensorModelParallelWorldSize(4);
        assertThat(wider.dataParallelWorldSize()).isOne();
        assertThat(wider.tensorModelParallelGroup().ranks()).containsExactly(4, 5, 6, 7);
        assertThat(FIVE.withPipelineModelParallelWorldSize(1).dataParallelWorldSize())
                .isEqualTo(8);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FIVE.withTensorModelParallelWorldSize(3))
                .withMessage("world size (16) is not divisible by tensor (3) × pipeline (4)");
        assertThat(FIVE).hasToString("rank 5/16 tp 1/2 dp 0/2 pp 1/4");
    }

    @Test
    void resizingKeepsExpertsAndOffset() {
        ProcessGrid grid = ProcessGrid.of(16, SIZES.withExpert(2).withExpertTensor(1), RankOrder.DEFAULT, 32);
        ParallelState state = grid.state(37).withPipelineModelParallelWorldSize(2);
        assertThat(state.rank()).isEqualTo(37);
        assertThat(state.grid().sizes().edp()).isEqualTo(4);
        assertThat(state.coordinate(Axis.EP)).isEqualTo(1);
    }

    @Test
    void splitRankIsReadByThePredicatesAndTheGroups() {
        ParallelState split = FIVE.withPipelineModelParallelSplitRank(2);
        assertThat(split.pipelineModelParallelSplitRank()).hasValue(2);
        assertThat(split.isPipelineStageAtSplit()).isTrue();
        assertThat(split.isPipelineStageBeforeSplit(2)).isFalse();
        assertThat(split.isPipelineStageAfterSplit(2)).isTrue();
        assertThat(split.withPipelineModelParallelRank(3).isPipelineStageAtSplit())
                .isFalse();
        assertThat(split.withPipelineModelParallelRank(2).embeddingGroup().map(ProcessGroup::ranks))
                .contains(List.of(1, 9, 13));
        assertThat(split.withPipelineModelParallelRank(2).isRankInPositionEmbeddingGroup())
                .isTrue();
    }

    @Test
    void nothingSplitsWithoutASplitRankOrWithOneStage() {
        assertThat(FIVE.isPipelineStageBeforeSplit()).isTrue();
        assertThat(FIVE.isPipelineStageAfterSplit()).isTrue();
        assertThat(FIVE.isPipelineStageAtSplit()).isFalse();
        ParallelState alone =
                ProcessGrid.of(1, ParallelSizes.tensor(1).withSplitRank(0)).state(0);
        assertThat(alone.isPipelineStageBeforeSplit()).isTrue();
        assertThat(alone.isPipelineStageAfterSplit()).isTrue();
        assertThat(alone.isPipelineStageAtSplit()).isFalse();
    }

    @Test
    void splitRankOutsideThePipelineIsRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FIVE.withPipelineModelParallelSplitRank(4))
                .withMessage("split rank (4) must be less than pipeline (4)");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FIVE.withPipelineModelParallelSplitRank(-1))
                .withMessage("split rank (-1) must be at least 0");
    }

    @Test
    void virtualPipelineNeedsTwoStages() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ProcessGrid.of(4, ParallelSizes.tensor(2).withVirtualPipeline(2)))
                .withMessage("virtual pipeline (2) needs more than one stage, but pipeline is (1)");
        ParallelState state = ProcessGrid.of(2, ParallelSizes.pipeline(2).withVirtualPipeline(3))
                .state(1);
        assertThat(state.virtualPipelineModelParallelRank()).hasValue(0);
        assertThat(state.isPipelineLastStage()).isFalse();
        assertThat(state.isPipelineLastStage(true)).isTrue();
        assertThat(state.isPipelineLastStage(2)).isTrue();
        assertThat(state.withVirtualPipelineModelParallelRank(2).isPipelineLastStage())
                .isTrue();
        assertThat(state.withVirtualPipelineModelParallelRank(2)).hasToString("rank 1/2 pp 1/2 chunk 2/3");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> state.isPipelineFirstStage(3))
                .withMessage("virtual pipeline rank (3) must be in 0..2");
        assertThatIllegalArgumentException().isThrownBy(() -> FIVE.withVirtualPipelineModelParallelRank(1));
        assertThat(FIVE.virtualPipelineModelParallelRank()).isEmpty();
    }

    @Test
    void layersFollowStageAndChunk() {
        assertThat(FIVE.layers(5)).isEqualTo(new LayerRange(1, 2));
        ParallelState chunked = ProcessGrid.of(2, ParallelSizes.pipeline(2).withVirtualPipeline(2))
                .state(1);
        assertThat(chunked.layers(8)).isEqualTo(new LayerRange(2, 4));
        assertThat(chunked.withVirtualPipelineModelParallelRank(1).layers(8)).isEqualTo(new LayerRange(6, 8));
    }

    @Test
    void travelsInATasksClosure() throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Object[] values = {FIVE, SIZES, RankOrder.TP_PP_DP, FIVE.modelParallelGroup(), new LayerRange(0, 2)};
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(values);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertThat((Object[]) in.readObject()).containsExactly(values);
        }
    }

    @Test
    void aRankOutsideTheWorldIsRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FIVE.grid().state(16))
                .withMessage("rank (16) must be in 0..15");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FIVE.group(Set.of()))
                .withMessage("a group varies at least one axis");
        assertThat(FIVE.group(GroupKind.EMBEDDING)).isEqualTo(Optional.empty());
    }
}
