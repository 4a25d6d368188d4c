package org.lockstep.simd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Sums of two runs: the same bits in vectors, in plain Java and on the way from one to the other. */
class SumsTest {
    private static final int ROOM = 5100;

    private final Random random = new Random(1);

    /** One kind of sums: it adds, and says whether it saw what is not finite. */
    private interface Adder {
        boolean add(float[] a, int aAt, float[] b, int bAt, float[] out, int outAt, int count);
    }

    private static Adder of(Sums sums) {
        return (a, aAt, b, bAt, out, outAt, count) -> {
            sums.add(a, aAt, b, bAt, out, outAt, count);
            return sums.sawOdd();
        };
    }

    static Stream<Adder> kinds() {
        Sums warm = Sums.create();
        float[] some = new float[ROOM];
        for (int i = 0; i < 20_000; i++) { // until the vectors, where there are any, are compiled and win
            warm.add(some, 0, some, 0, some, 0, ROOM);
        }
        Adder vectors = (a, aAt, b, bAt, out, outAt, count) -> {
            assumeThat(Arithmetic.isVectorEnabled())
                    .as("the module of the vectors")
                    .isTrue();
            return VectorRows.add(a, aAt, b, bAt, out, outAt, count) != 0;
        };
        return Stream.of(of(Sums.plain()), of(Sums.create()), of(warm), vectors);
    }

    private float[] numbers() {
        float[] numbers = new float[ROOM];
        for (int i = 0; i < ROOM; i++) {
            numbers[i] = (random.nextFloat() - 0.5f) * (float) Math.pow(10, random.nextInt(30) - 15);
        }
        return numbers;
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void everyLengthAndPlace(Adder adder) {
        for (int count : new int[] {0, 1, 7, 31, 32, 33, 63, 100, 1023, 1024, 1025, 2048, 4001}) {
            for (int shift : new int[] {0, 1, 16, 517}) {
                float[] a = numbers();
                float[] b = numbers();
                float[] out = numbers();
                float[] expected = out.clone();
                for (int i = 0; i < count; i++) {
                    expected[2 * shift + i] = a[shift + i] + b[3 + i];
                }
                assertThat(adder.add(a, shift, b, 3, out, 2 * shift, count)).isFalse();
                assertThat(Arrays.equals(out, expected))
                        .as("%d from %d on", count, shift)
                        .isTrue();
            }
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void inThePlaceOfEither(Adder adder) {
        for (boolean first : new boolean[] {true, false}) {
            float[] a = numbers();
            float[] b = numbers();
            float[] expected = new float[ROOM];
            for (int i = 0; i < ROOM; i++) {
                expected[i] = a[i] + b[i];
            }
            float[] out = first ? a : b;
            adder.add(a, 0, b, 0, out, 0, ROOM);
            assertThat(out).isEqualTo(expected);
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void whatIsNotFiniteIsSeenOnce(Adder adder) {
        float[] zeros = new float[ROOM];
        for (float odd : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            for (int at : new int[] {0, 30, 31, 1500, ROOM - 1}) {
                float[] a = new float[ROOM];
                a[at] = odd;
                assertThat(adder.add(a, 0, zeros, 0, a, 0, ROOM))
                        .as("%f at %d", odd, at)
                        .isTrue();
                assertThat(a[at]).isEqualTo(Float.valueOf(odd));
                assertThat(adder.add(zeros, 0, zeros, 0, a, 0, ROOM))
                        .as("afterwards")
                        .isFalse();
            }
        }
        float[] large = new float[ROOM];
        Arrays.fill(large, Float.MAX_VALUE);
        assertThat(adder.add(large, 0, zeros, 0, new float[ROOM], 0, ROOM))
                .as("large, and finite")
                .isFalse();
        assertThat(adder.add(large, 0, large, 0, new float[ROOM], 0, ROOM))
                .as("too large")
                .isTrue();
    }

    @Test
    void sumsThatOthersMadeAreLookedAtToo() {
        Sums sums = Sums.create();
        float[] made = new float[1024];
        made[500] = Float.NaN;
        sums.watch(made, 500);
        assertThat(sums.sawOdd()).as("before it").isFalse();
        sums.watch(made, 501);
        assertThat(sums.sawOdd()).isTrue();
        assertThat(sums.sawOdd()).isFalse();
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void aRangeThatIsOffAnArrayIsRefused(Adder adder) {
        IntStream.of(1, 40, 2000)
                .forEach(count -> assertThatThrownBy(
                                () -> adder.add(new float[count], 1, new float[count], 0, new float[count], 0, count))
                        .isInstanceOf(IndexOutOfBoundsException.class));
    }
}
