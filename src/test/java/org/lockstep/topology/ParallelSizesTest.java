package org.lockstep.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ParallelSizesTest {
    @Test
    void dataIsInferredUnlessToldOtherwise() {
        assertThat(ParallelSizes.tensor(2).withPipeline(4).resolve(16))
                .hasToString("tp=2 cp=1 ep=1 dp=2 pp=4")
                .isEqualTo(ParallelSizes.tensor(2).withPipeline(4).withData(-1).resolve(16));
        assertThat(ParallelSizes.data(2).withTensor(-1).resolve(16).tp()).isEqualTo(8);
        assertThat(ParallelSizes.data(2).withPipeline(-1).resolve(16).pp()).isEqualTo(8);
        assertThat(ParallelSizes.data(2).withContext(-1).resolve(16).cp()).isEqualTo(8);
        assertThat(ParallelSizes.data(16)
                        .withExpert(-1)
                        .withExpertData(4)
                        .resolve(16)
                        .ep())
                .isEqualTo(4);
    }

    @Test
    void resolvedSizesStayAsTheyAre() {
        ParallelSizes sizes = ParallelSizes.tensor(2)
                .withContext(2)
                .withExpert(4)
                .withExpertTensor(1)
                .resolve(16);
        assertThat(sizes).hasToString("tp=2 cp=2 ep=4 dp=4 pp=1 etp=1 edp=4");
        assertThat(sizes.resolve(16)).isEqualTo(sizes);
        assertThat(ParallelSizes.tensor(2).resolve(16).hasExperts()).isFalse();
    }

    @Test
    void equationsAreSpelledOut() {
        assertRefused(ParallelSizes.tensor(4), 6, "world size (6) is not divisible by tensor (4) × pipeline (1)");
        assertRefused(
                ParallelSizes.tensor(2).withContext(3),
                16,
                "world size (16) is not divisible by tensor (2) × pipeline (1) × context (3)");
        assertRefused(
                ParallelSizes.tensor(2).withData(3),
                16,
                "world size (16) is not equal to tensor (2) × pipeline (1) × data (3)");
        assertRefused(
                ParallelSizes.tensor(2).withExpert(3),
                16,
                "world size (16) is not divisible by expert tensor (2) × pipeline (1) × expert (3)");
        assertRefused(
                ParallelSizes.tensor(-1),
                16,
                "one size can be inferred from the world size, but both tensor and data are -1");
        assertRefused(
                ParallelSizes.tensor(1_000_000).withPipeline(1_000_000).withContext(1_000_000),
                16,
                "world size (16) is not divisible by tensor (1000000) × pipeline (1000000) × context (1000000)");
        assertRefused(ParallelSizes.tensor(1), 0, "world size (0) must be at least 1");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -2, Integer.MIN_VALUE})
    void aSizeIsPositiveOrInferred(int size) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ParallelSizes.tensor(size))
                .withMessage("tensor size (" + size + ") must be at least 1, or -1 to infer it");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ParallelSizes.tensor(1).withVirtualPipeline(size))
                .withMessage("virtual pipeline (" + size + ") must be at least 1");
    }

    @ParameterizedTest
    @CsvSource({"tp-cp-ep-dp-pp, tp-cp-ep-dp-pp", "TP-PP-DP, tp-pp-dp", "dp, dp"})
    void ordersAreReadAndWritten(String text, String written) {
        assertThat(RankOrder.parse(text)).hasToString(written).isEqualTo(RankOrder.parse(written));
    }

    @ParameterizedTest
    @CsvSource({
        "tp-xx-dp, unknown axis 'xx'",
        "tp--dp, unknown axis ''",
        "'', unknown axis ''",
        "tp-dp-tp, rank order tp-dp-tp names an axis twice"
    })
    void ordersThatAreNoneAreRefused(String text, String message) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> RankOrder.parse(text))
                .withMessageStartingWith(message);
    }

    @Test
    void axisSetsAreReadInAnyOrder() {
        assertThat(Axis.parseSet("dp-cp")).containsExactly(Axis.CP, Axis.DP);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Axis.parseSet("dp-dp"))
                .withMessage("axis dp is named twice in 'dp-dp'");
    }

    private static void assertRefused(ParallelSizes sizes, int worldSize, String message) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> sizes.resolve(worldSize))
                .withMessage(message);
    }
}
