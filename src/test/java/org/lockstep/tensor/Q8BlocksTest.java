package org.lockstep.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The largest of a block becomes 127 times its scale, all others the nearest multiple; what has none is refused. */
class Q8BlocksTest {
    @ParameterizedTest
    @ValueSource(floats = {127, 1e-3f, 1e-37f, 1e30f, Float.MAX_VALUE})
    void theLargestIs127TimesTheScale(float largest) {
        float[] weights = {0, -largest, largest, largest / 2, largest / 300};
        float scale = Q8Blocks.scale(weights, 0, weights.length);
        byte[] bytes = new byte[weights.length];
        for (int k = 0; k < weights.length; k++) {
            bytes[k] = Q8Blocks.quantise(weights[k], scale);
        }
        assertThat(bytes).startsWith(0, -127, 127).endsWith(0);
        assertThat(bytes[3]).isBetween((byte) 63, (byte) 64);
    }

    @Test
    void onlyTheBlockCounts() {
        assertThat(Q8Blocks.scale(new float[] {1000, 1, -2, Float.NaN}, 1, 3)).isEqualTo(2 / 127f);
    }

    /** Their scales are zero, or have few bits left. */
    @ParameterizedTest
    @ValueSource(floats = {0, Float.MIN_VALUE, 1e-44f, 100 * Float.MIN_VALUE, 1e-40f})
    void weightsNearZeroStayNearZero(float largest) {
        float scale = Q8Blocks.scale(new float[] {largest, -largest}, 0, 2);
        byte quantised = Q8Blocks.quantise(-largest, scale);
        assertThat(quantised).isLessThanOrEqualTo((byte) 0);
        assertThat(quantised * scale).isBetween(-2 * largest - 127 * Float.MIN_VALUE, 0f);
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void whatIsNotFiniteIsRefused(float weight) {
        float[] block = new float[WeightType.BLOCK];
        Arrays.fill(block, 1);
        block[17] = weight;
        assertThatThrownBy(() -> Q8Blocks.scale(block, 0, block.length))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("cannot be held as q8");
    }
}
