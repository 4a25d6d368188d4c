package org.lockstep.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** Against numpy in float32, written from the formulas of transformers' modeling_rope_utils. */
class RopeScalingTest {
    @Test
    void unscaled() {
        same(
                RopeScaling.NONE.inverseFrequencies(16, 10000),
                1f,
                3.1622776e-01f,
                1e-01f,
                3.162278e-02f,
                1e-02f,
                3.1622779e-03f,
                1e-03f,
                3.162278e-04f);
    }

    @Test
    void linear() {
        same(new RopeScaling.Linear(4).inverseFrequencies(8, 10000), 2.5e-01f, 2.5e-02f, 2.5e-03f, 2.5e-04f);
    }

    @Test
    void llama3KeepsShortWavesDividesLongOnesAndPassesSmoothly() {
        double[] inverse = new RopeScaling.Llama3(8, 1, 4, 8192).inverseFrequencies(128, 500000);
        assertThat(inverse).hasSize(64);
        same(
                Arrays.copyOfRange(inverse, 24, 40),
                7.292665e-03f,
                5.9407298e-03f,
                4.8394212e-03f,
                3.942276e-03f,
                3.211446e-03f,
                2.1665706e-03f,
                1.3718937e-03f,
                8.5675146e-04f,
                5.24846e-04f,
                3.1269365e-04f,
                1.7850779e-04f,
                9.556213e-05f,
                7.7846555e-05f,
                6.3415144e-05f,
                5.1659074e-05f,
                4.2082367e-05f);
        same(
                new RopeScaling.Llama3(8, 1, 4, 64).inverseFrequencies(8, 500000),
                1f,
                4.700754e-03f,
                1.7677668e-04f,
                6.6478706e-06f);
    }

    @Test
    void valuesAreFloats() {
        for (double value : new RopeScaling.Llama3(8, 1, 4, 8192).inverseFrequencies(128, 500000)) {
            assertThat((double) (float) value).isEqualTo(value);
        }
    }

    @Test
    void anOddHeadIsRefused() {
        assertThatThrownBy(() -> RopeScaling.NONE.inverseFrequencies(7, 10000))
                .isInstanceOf(IllegalArgumentException.class);
    }

    /** Within four units in the last place: pow is not rounded alike everywhere. */
    private static void same(double[] actual, float... expected) {
        assertThat(actual).hasSize(expected.length);
        for (int i = 0; i < expected.length; i++) {
            assertThat(actual[i]).isCloseTo(expected[i], within(4.0 * Math.ulp(expected[i])));
        }
    }
}
