package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LayerRangeTest {
    /** The counts that vLLM's get_pp_indices gives. */
    @ParameterizedTest
    @CsvSource({
        "5, 1, '[5]'",
        "5, 2, '[3, 2]'",
        "5, 3, '[2, 2, 1]'",
        "5, 4, '[1, 1, 2, 1]'",
        "5, 5, '[1, 1, 1, 1, 1]'",
        "6, 4, '[1, 2, 2, 1]'",
        "7, 4, '[2, 2, 2, 1]'",
        "32, 4, '[8, 8, 8, 8]'",
        "29, 8, '[3, 3, 4, 4, 4, 4, 4, 3]'"
    })
    void layersThatDoNotDivideStayAwayFromTheEnds(int layers, int stages, String counts) {
        List<LayerRange> ranges = LayerRange.split(layers, stages);
        assertThat(sizes(ranges)).hasToString(counts);
        for (int stage = 0; stage < stages; stage++) {
            assertThat(LayerRange.of(layers, stages, stage)).isEqualTo(ranges.get(stage));
        }
    }

    @Test
    void everyLayerIsHeldOnce() {
        for (int stages = 1; stages <= 12; stages++) {
            for (int layers = stages; layers <= 40; layers++) {
                List<Integer> held = new ArrayList<>();
                LayerRange.split(layers, stages).forEach(range -> range.stream().forEach(held::add));
                assertThat(held).hasSize(layers).isSorted().doesNotHaveDuplicates();
                List<Integer> counts = sizes(LayerRange.split(layers, stages));
                assertThat(Collections.max(counts) - Collections.min(counts)).isLessThanOrEqualTo(1);
            }
        }
    }

    @Test
    void chunksVisitEveryStageInTurn() {
        List<LayerRange> walk = new ArrayList<>();
        for (int chunk = 0; chunk < 2; chunk++) {
            for (int stage = 0; stage < 3; stage++) {
                walk.add(LayerRange.of(8, 3, stage, 2, chunk));
            }
        }
        assertThat(walk).isEqualTo(LayerRange.split(8, 6));
        assertThat(sizes(walk)).containsExactly(1, 1, 1, 2, 2, 1);
    }

    @Test
    void theUserMayDecide() {
        assertThat(LayerRange.partition(5, List.of(1, 3, 1)))
                .containsExactly(new LayerRange(0, 1), new LayerRange(1, 4), new LayerRange(4, 5));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> LayerRange.partition(5, List.of(2, 2)))
                .withMessage("layers (5) are not the sum (4) of layers per stage [2, 2]");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> LayerRange.partition(5, List.of(5, 0)))
                .withMessage("each stage needs at least 1 layer, but layers per stage are [5, 0]");
    }

    @Test
    void tooFewLayersAreRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> LayerRange.split(3, 4))
                .withMessage("layers (3) are too few for pipeline (4): each stage needs at least 1");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> LayerRange.of(5, 3, 0, 2, 0))
                .withMessage(
                        "layers (5) are too few for pipeline (3) × virtual pipeline (2): each stage needs at least 1");
        assertThatIllegalArgumentException().isThrownBy(() -> LayerRange.split(3, 0));
        assertThatIllegalArgumentException().isThrownBy(() -> LayerRange.of(4, 2, 2));
        assertThatIllegalArgumentException().isThrownBy(() -> new LayerRange(2, 2));
    }

    @Test
    void knowsItsLayers() {
        LayerRange range = new LayerRange(2, 4);
        assertThat(range.size()).isEqualTo(2);
        assertThat(range.contains(1)).isFalse();
        assertThat(range.contains(3)).isTrue();
        assertThat(range.contains(4)).isFalse();
    }

    private static List<Integer> sizes(List<LayerRange> ranges) {
        return ranges.stream().map(LayerRange::size).toList();
    }
}
