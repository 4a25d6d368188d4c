package org.lockstep.spark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.OptionalLong;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.RankMemory;
import org.lockstep.model.RopeScaling;
import org.lockstep.spark.device.RankDevice;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.ParallelSizes;

/** How much heap a cache takes where nothing is said of it. */
class CacheFitTest {
    private static final long GIB = 1L << 30;
    private static final ParallelSizes SIZES =
            ParallelSizes.tensor(1).withPipeline(1).withData(1);

    /** Of the measures of Llama 3.1 8B: 256 KiB a position. */
    private static final ModelConfig LARGE = large(8, 131072);

    private static ModelConfig large(int keyValueHeads, int maxPositions) {
        return new ModelConfig(
                "LlamaForCausalLM",
                4096,
                32,
                32,
                keyValueHeads,
                128,
                14336,
                128256,
                maxPositions,
                1e-5f,
                500000,
                RopeScaling.NONE,
                false,
                false,
                false,
                List.of(),
                null,
                null);
    }

    private static CacheFit fit(long heap) {
        return new CacheFit(LARGE, WeightType.BF16, SIZES, RankDevice.CPU, OptionalLong.of(heap));
    }

    private static SparkConf conf() {
        return new SparkConf(false);
    }

    @Test
    void itGrowsWithTheHeapAndStaysWithinWhatIsLeft() {
        long before = 0;
        for (long heap : new long[] {24 * GIB, 32 * GIB, 64 * GIB, 256 * GIB}) {
            GeneratorOptions options = fit(heap).resolve(LlmLimits.NONE, conf());
            RankMemory memory = fit(heap).memory(options);
            assertThat(memory.total()).isLessThan(heap);
            long left = heap - memory.weights() - memory.step();
            assertThat(memory.cache())
                    .isBetween(left * 39 / 100, left * 41 / 100)
                    .isGreaterThan(before);
            before = memory.cache();
        }
        assertThat(fit(64 * GIB).resolve(LlmLimits.NONE, conf()).maxModelLength())
                .isGreaterThan(50_000);
    }

    @Test
    void whatSparkDoesNotWantIsTheCaches() {
        SparkConf modest = conf().set("spark.memory.fraction", "0.2");
        long usual = fit(64 * GIB).resolve(LlmLimits.NONE, conf()).cacheTokens();
        assertThat(fit(64 * GIB).resolve(LlmLimits.NONE, modest).cacheTokens())
                .isBetween(usual * 19 / 10, usual * 21 / 10);
    }

    @Test
    void itIsNoMoreThanTheRowsCanFill() {
        GeneratorOptions options =
                fit(256 * GIB).resolve(LlmLimits.NONE.withMaxModelLength(1024).withMaxSequences(4), conf());
        assertThat(options.cacheTokens()).isEqualTo(4096);
    }

    @Test
    void whatIsSaidOfItHolds() {
        SparkConf set = conf().set("spark.lockstep.cache.memory", "512m");
        GeneratorOptions options = fit(64 * GIB).resolve(LlmLimits.NONE, set);
        assertThat(options.cacheTokens()).isEqualTo(2048);
        assertThat(options.maxModelLength()).isEqualTo(2048);
    }

    @Test
    void aRowThatDoesNotFitIsRefusedWithWhatItNeeds() {
        assertThatThrownBy(() -> fit(24 * GIB).resolve(LlmLimits.NONE.withMaxModelLength(131072), conf()))
                .hasMessageContainingAll("NOT_ENOUGH_MEMORY", "one row of 131072 needs", "--max-model-len");
    }

    /** A layer's keys are one array, however large the heap. */
    @Test
    void itIsNoLargerThanAnArrayOfTheHeapCanBe() {
        int width = 8 * 128; // of a position
        GeneratorOptions options = fit(8192 * GIB).resolve(LlmLimits.NONE, conf());
        assertThat((long) options.cacheTokens() * width)
                .isBetween((1L << 31) - 9 - options.blockSize() * width, (1L << 31) - 9);
        SparkConf set = conf().set("spark.lockstep.cache.memory", "4096g");
        assertThat(fit(8192 * GIB).resolve(LlmLimits.NONE, set).cacheTokens()).isEqualTo(options.cacheTokens());
        CacheFit wide =
                new CacheFit(large(32, 1 << 20), WeightType.BF16, SIZES, RankDevice.CPU, OptionalLong.of(8192 * GIB));
        assertThatThrownBy(() -> wide.resolve(LlmLimits.NONE.withMaxModelLength(1 << 20), conf()))
                .hasMessageContainingAll(
                        "NOT_ENOUGH_MEMORY", "one row of 1048576 positions", "2147483639 elements", "--max-model-len");
    }

    @Test
    void withoutAnyRoomTheRestIsStillCounted() {
        GeneratorOptions options = fit(GIB).resolve(LlmLimits.NONE, conf());
        assertThat(options.cacheBlocks()).isEqualTo(1);
        assertThat(fit(GIB).memory(options).total())
                .as("which the plan refuses")
                .isGreaterThan(GIB);
    }
}
