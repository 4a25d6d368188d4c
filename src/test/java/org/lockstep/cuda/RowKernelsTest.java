package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.util.Random;
import jcuda.driver.CUdeviceptr;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.tensor.Half;

/** What the contract of kernels does not reach in rows and products: padding, fused forms, casts, rounded activations. */
@HostCuda
@Timeout(120)
class RowKernelsTest {
    private static final float INFINITY = Float.POSITIVE_INFINITY;

    private final Random random = new Random(5);
    private Launches device;

    @BeforeEach
    void open() throws IOException {
        device = new Launches();
    }

    @AfterEach
    void close() {
        device.close();
    }

    private float[] gaussian(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    @Test
    void rowsThatAreNoneAreZeros() {
        CUdeviceptr table = device.of(1f, 2, 3, 4, 5, 6);
        CUdeviceptr out = device.room(4 * 2 * 3);
        device.launch("embed_f32", new int[] {3}, 256, table, device.of(-1, 7, 8), 7, 3, 2, out);
        assertThat(device.floats(out, 6)).containsExactly(0, 0, 1, 2, 3, 4);
        device.launch("embed_f32", new int[] {3}, 256, table, device.of(-1, 0, 3), -1, 3, 2, out);
        assertThat(device.floats(out, 6)).as("no id is negative").containsExactly(0, 0, 3, 4, 0, 0);
        device.launch("gather_rows", new int[] {3}, 256, table, device.of(2, -1, 0), 2, out);
        assertThat(device.floats(out, 6)).containsExactly(5, 6, 0, 0, 1, 2);
        CUdeviceptr turned = device.of(1f, 2, 3, 4);
        device.launch("rotate", new int[] {2}, 256, turned, device.of(0f), device.of(1f), device.of(0, -1), 1, 2);
        assertThat(device.floats(turned, 4)).containsExactly(-2, 1, 3, 4);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 8, 300, 4096})
    void theFusedNormHasTheBitsOfTheSumAndTheNorm(int hidden) {
        float[] x = gaussian(2 * hidden);
        float[] y = gaussian(2 * hidden);
        CUdeviceptr weight = device.of(gaussian(hidden));
        CUdeviceptr apart = device.of(x);
        CUdeviceptr normed = device.room(8L * hidden);
        device.launch("add", new int[] {1}, 256, apart, device.of(y), 2L * hidden);
        device.launch("rms_norm", new int[] {2}, 256, apart, weight, 1e-5f, hidden, normed);
        CUdeviceptr fused = device.of(x);
        CUdeviceptr fusedNormed = device.room(8L * hidden);
        device.launch("add_rms_norm", new int[] {2}, 256, fused, device.of(y), weight, 1e-5f, hidden, fusedNormed);
        assertThat(device.floats(fused, 2 * hidden)).isEqualTo(device.floats(apart, 2 * hidden));
        assertThat(device.floats(fusedNormed, 2 * hidden)).isEqualTo(device.floats(normed, 2 * hidden));
    }

    @Test
    void castsRoundToTheNearestAndTiesToEven() {
        float[] values = gaussian(2_000);
        float[] special = {
            0,
            -0f,
            1,
            1 + 1f / 256,
            1 + 3f / 256,
            65_519,
            65_520,
            -65_520,
            1e-8f,
            3e-8f,
            5.9604645e-8f,
            6.1e-5f,
            INFINITY,
            -INFINITY,
            Float.NaN,
            Float.MAX_VALUE,
            1 + 1f / 2048,
            1 + 3f / 2048,
            Float.MIN_VALUE
        };
        System.arraycopy(special, 0, values, 0, special.length);
        CUdeviceptr in = device.of(values);
        CUdeviceptr narrow = device.room(2L * values.length);
        CUdeviceptr wide = device.room(4L * values.length);
        for (boolean bf16 : new boolean[] {true, false}) {
            String type = bf16 ? "bf16" : "f16";
            device.launch("cast_f32_" + type, new int[] {2}, 256, in, narrow, (long) values.length);
            device.launch("cast_" + type + "_f32", new int[] {2}, 256, narrow, wide, (long) values.length);
            short[] bits = device.shorts(narrow, values.length);
            float[] back = device.floats(wide, values.length);
            for (int i = 0; i < values.length; i++) {
                short expected = bf16 ? Half.floatToBf16(values[i]) : Half.floatToF16(values[i]);
                float expectedBack = bf16 ? Half.bf16ToFloat(expected) : Half.f16ToFloat(expected);
                boolean same = bits[i] == expected || Float.isNaN(values[i]);
                assertThat(same && Float.compare(back[i], expectedBack) == 0)
                        .as("%s as %s: %s, not %s", values[i], type, back[i], expectedBack)
                        .isTrue();
            }
        }
    }

    @Test
    void partsAreAddedAsABalancedTreeAndABiasAfterThem() {
        int n = 10;
        for (int segments = 1; segments <= 32; segments++) {
            float[] parts = gaussian(segments * n);
            CUdeviceptr out = device.room(4L * n);
            CUdeviceptr bias = device.of(1f, 2, 3, 4, 5);
            device.launch("sum_segments", new int[] {1}, 256, device.of(parts), segments, bias, 5, (long) n, out);
            float[] actual = device.floats(out, n);
            for (int i = 0; i < n; i++) {
                assertThat(actual[i]).isEqualTo(tree(parts, n, i, 0, segments) + (1 + i % 5));
            }
            device.launch("sum_segments", new int[] {1}, 256, device.of(parts), segments, null, 5, (long) n, out);
            assertThat(device.floats(out, n)[3]).isEqualTo(tree(parts, n, 3, 0, segments));
        }
    }

    private static float tree(float[] parts, int n, int at, int from, int to) {
        if (to - from == 1) {
            return parts[from * n + at];
        }
        int middle = from + Integer.highestOneBit(to - from - 1);
        return tree(parts, n, at, from, middle) + tree(parts, n, at, middle, to);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4, 8})
    void activationsAreRoundedToTheWeightsTypeWhereThatIsAskedFor(int together) {
        int tokens = 5;
        int rows = 19;
        int columns = 264; // 33 groups of 16 bytes
        float[] x = gaussian(tokens * columns);
        float[] weight = gaussian(rows * columns);
        short[] narrow = new short[weight.length];
        for (int i = 0; i < weight.length; i++) {
            narrow[i] = Half.floatToBf16(weight[i]);
        }
        CUdeviceptr out = device.room(4L * tokens * rows);
        int[] grid = {2, (tokens + together - 1) / together}; // fewer blocks than rows need
        for (int round = 0; round <= 1; round++) {
            device.launch(
                    "linear_bf16_" + together,
                    grid,
                    128,
                    device.of(narrow),
                    device.of(x),
                    null,
                    tokens,
                    rows,
                    columns,
                    1,
                    round,
                    out);
            float[] actual = device.floats(out, tokens * rows);
            for (int i = 0; i < actual.length; i++) {
                double sum = 0;
                for (int k = 0; k < columns; k++) {
                    float operand = x[i / rows * columns + k];
                    operand = round == 1 ? Half.bf16ToFloat(Half.floatToBf16(operand)) : operand;
                    sum += (double) operand * Half.bf16ToFloat(narrow[i % rows * columns + k]);
                }
                assertThat((double) actual[i]).isCloseTo(sum, within(3e-5));
            }
        }
    }
}
