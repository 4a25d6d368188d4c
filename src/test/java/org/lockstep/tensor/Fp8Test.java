package org.lockstep.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class Fp8Test {
    private interface Narrow {
        byte of(float value);
    }

    private interface Wide {
        float of(byte bits);
    }

    /** The table of the specification. */
    @Test
    void theirNumbersAreThoseOfTheSpecification() {
        assertThat(Fp8.e4m3ToFloat((byte) 0x7e)).isEqualTo(448);
        assertThat(Fp8.e4m3ToFloat((byte) 0x08)).isEqualTo(0x1p-6f);
        assertThat(Fp8.e4m3ToFloat((byte) 0x07)).isEqualTo(0.875f * 0x1p-6f);
        assertThat(Fp8.e4m3ToFloat((byte) 0x81)).isEqualTo(-0x1p-9f);
        assertThat(Fp8.e4m3ToFloat((byte) 0xff)).isNaN();
        assertThat(Fp8.e5m2ToFloat((byte) 0x7b)).isEqualTo(57344);
        assertThat(Fp8.e5m2ToFloat((byte) 0x04)).isEqualTo(0x1p-14f);
        assertThat(Fp8.e5m2ToFloat((byte) 0x03)).isEqualTo(0.75f * 0x1p-14f);
        assertThat(Fp8.e5m2ToFloat((byte) 0x81)).isEqualTo(-0x1p-16f);
        assertThat(Fp8.e5m2ToFloat((byte) 0xfc)).isEqualTo(Float.NEGATIVE_INFINITY);
        assertThat(IntStream.of(0x7d, 0x7e, 0x7f).mapToObj(bits -> Fp8.e5m2ToFloat((byte) bits)))
                .allMatch(value -> Float.isNaN(value));
    }

    @Test
    void everyFloatBecomesTheNearestNumberAndWhatIsTooLargeTheLargest() {
        assertNearest(Fp8::floatToE4m3, Fp8::e4m3ToFloat, 0x7e);
        assertNearest(Fp8::floatToE5m2, Fp8::e5m2ToFloat, 0x7b);
    }

    /** Numbers are in the order of their bits, so that the nearest of them is found by looking at all. */
    private static void assertNearest(Narrow narrow, Wide wide, int largest) {
        for (int bits = 0; bits <= largest; bits++) {
            assertThat(narrow.of(wide.of((byte) bits))).isEqualTo((byte) bits);
            assertThat(narrow.of(wide.of((byte) (bits | 0x80)))).isEqualTo((byte) (bits | 0x80));
            if (bits < largest) {
                float half = (wide.of((byte) bits) + wide.of((byte) (bits + 1))) / 2;
                assertThat(narrow.of(half)).as("a tie goes to the even one").isEqualTo((byte) (bits + (bits & 1)));
                assertThat(narrow.of(Math.nextDown(half))).isEqualTo((byte) bits);
                assertThat(narrow.of(Math.nextUp(half))).isEqualTo((byte) (bits + 1));
            }
        }
        Random random = new Random(3);
        for (int times = 0; times < 10_000; times++) {
            float value = Float.intBitsToFloat(random.nextInt() & 0x7fffffff);
            byte found = narrow.of(value);
            if (Float.isNaN(value)) {
                assertThat(found).isEqualTo((byte) 0x7f);
            } else {
                float distance = Math.abs(wide.of(found) - value);
                assertThat(IntStream.rangeClosed(0, largest)
                                .allMatch(bits -> distance <= Math.abs(wide.of((byte) bits) - value)))
                        .as("%s is the nearest to %s", wide.of(found), value)
                        .isTrue();
                assertThat(narrow.of(-value)).isEqualTo((byte) (found | 0x80));
            }
        }
        assertThat(narrow.of(Float.POSITIVE_INFINITY)).isEqualTo((byte) largest);
        assertThat(narrow.of(Float.NEGATIVE_INFINITY)).isEqualTo((byte) (largest | 0x80));
    }
}
