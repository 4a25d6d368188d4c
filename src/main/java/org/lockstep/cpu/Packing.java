package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.List;
import org.lockstep.simd.PanelLayout;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Q8Blocks;
import org.lockstep.tensor.WeightType;

/** Lays a matrix out in panels, converted or quantised; reads its source a few panels at a time. Confined to one thread. */
final class Packing {
    private static final long ARRAY_ELEMENTS = 1L << 26;
    private static final long READ_ELEMENTS = 1L << 22;

    private final MatrixSource source;
    private final WeightType type;
    private final int segments;
    private final int panel;
    private final int columns;
    private final float[] row;
    private final float[] rowScales;

    private Packing(MatrixSource source, WeightType type, int segments, int panel) {
        this.source = source;
        this.type = type;
        this.segments = segments;
        this.panel = panel;
        this.columns = source.columns();
        this.row = new float[columns];
        this.rowScales = new float[segments * PanelWeight.blocks(columns / segments)];
    }

    /**
     * The matrix in panels of so many rows.
     *
     * @throws IllegalArgumentException if a weight is beyond what f16 or q8 hold
     */
    static PanelWeight pack(MatrixSource source, WeightType type, int segments, int panel) {
        return new Packing(source, type, segments, panel).pack();
    }

    private PanelWeight pack() {
        int rows = source.rows();
        int panels = (rows + panel - 1) / panel;
        long each = (long) panel * columns;
        if (each > Integer.MAX_VALUE - 64) {
            throw new IllegalArgumentException(
                    "a matrix of " + columns + " columns is too wide: " + panel + " rows of it do not fit an array");
        }
        int perArray = (int) Math.max(1, Math.min(panels, ARRAY_ELEMENTS / Math.max(1, each)));
        List<Object> arrays = new ArrayList<>();
        List<float[]> scales = new ArrayList<>();
        for (int first = 0; first < panels; first += perArray) {
            int some = Math.min(perArray, panels - first);
            Object array = allocate((int) (some * each));
            float[] scale = new float[type == WeightType.Q8 ? some * panel * rowScales.length : 0];
            int atOnce = (int) Math.max(1, READ_ELEMENTS / Math.max(1, each));
            for (int p = 0; p < some; p += atOnce) {
                int from = (first + p) * panel;
                int count = Math.min(Math.min(atOnce, some - p) * panel, rows - from);
                HostBuffer read = source.read(from, count);
                for (int r = 0; r < count; r++) {
                    int at = (int) ((p + r / panel) * each);
                    write(read, r, array, at, r % panel, scale, (p + r / panel) * panel * rowScales.length);
                }
            }
            arrays.add(array);
            scales.add(scale);
        }
        return new PanelWeight(rows, columns, type, segments, panel, perArray, arrays, scales);
    }

    private Object allocate(int length) {
        return switch (type) {
            case F32 -> new float[length];
            case BF16, F16 -> new short[length];
            case Q8 -> new byte[length];
        };
    }

    private void write(HostBuffer read, int r, Object array, int at, int rowOfPanel, float[] scale, int scaleAt) {
        Widening.widen(read, r * columns, columns, row, 0);
        switch (type) {
            case F32 -> spread(row, (float[]) array, at + rowOfPanel, panel);
            case BF16 -> bf16(row, (short[]) array, at + PanelLayout.slot16(rowOfPanel, panel), panel);
            case F16 -> f16(row, (short[]) array, at + PanelLayout.slot16(rowOfPanel, panel), panel, read.type());
            case Q8 -> {
                quantise((byte[]) array, at + PanelLayout.slot8(rowOfPanel, panel));
                spread(rowScales, scale, scaleAt + rowOfPanel, panel);
            }
        }
    }

    private static void spread(float[] from, float[] to, int at, int stride) {
        for (int k = 0; k < from.length; k++) {
            to[at + k * stride] = from[k];
        }
    }

    private static void bf16(float[] from, short[] to, int at, int stride) {
        for (int k = 0; k < from.length; k++) {
            to[at + k * stride] = Half.floatToBf16(from[k]);
        }
    }

    private static void f16(float[] from, short[] to, int at, int stride, DataType stored) {
        for (int k = 0; k < from.length; k++) {
            short bits = Half.floatToF16(from[k]);
            if ((bits & 0x7c00) == 0x7c00) {
                throw new IllegalArgumentException("the weight " + from[k] + ", stored as " + stored
                        + ", is not finite in f16: hold this model's weights as f32 or bf16");
            }
            to[at + k * stride] = bits;
        }
    }

    private void quantise(byte[] to, int at) {
        int run = columns / segments;
        int block = 0;
        for (int segment = 0; segment < columns; segment += run) {
            for (int from = segment; from < segment + run; from += WeightType.BLOCK) {
                int end = Math.min(from + WeightType.BLOCK, segment + run);
                float scale = Q8Blocks.scale(row, from, end);
                for (int k = from; k < end; k++) {
                    to[at + k * panel] = Q8Blocks.quantise(row[k], scale);
                }
                rowScales[block++] = scale;
            }
        }
    }
}
