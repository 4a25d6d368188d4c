package org.lockstep.cpu;

import java.util.List;
import org.lockstep.simd.PanelLayout;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * A weight matrix in heap memory, in panels of neighbouring rows: column after column, in each the rows of the panel side by
 * side, zeros below the last row. Panels stand one after the other in as few arrays as may be, for a Java array has at most
 * 2^31 elements, and small ones would waste the garbage collector's regions.
 */
final class PanelWeight implements Weight {
    private final int rows;
    private final int columns;
    private final WeightType type;
    private final int segments;
    private final int panel;
    private final int panelsPerArray;
    private List<Object> arrays; // of float[], short[] or byte[], each (panels, columns, panel)
    private List<float[]> scales; // of q8, each (panels, segments, blocks of a segment, panel)

    PanelWeight(
            int rows,
            int columns,
            WeightType type,
            int segments,
            int panel,
            int panelsPerArray,
            List<Object> arrays,
            List<float[]> scales) {
        this.rows = rows;
        this.columns = columns;
        this.type = type;
        this.segments = segments;
        this.panel = panel;
        this.panelsPerArray = panelsPerArray;
        this.arrays = List.copyOf(arrays);
        this.scales = List.copyOf(scales);
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    @Override
    public WeightType type() {
        return type;
    }

    @Override
    public int segments() {
        return segments;
    }

    /** Rows of a panel. */
    int panel() {
        return panel;
    }

    int panels() {
        return (rows + panel - 1) / panel;
    }

    /** Columns of a segment. */
    int run() {
        return columns / segments;
    }

    /** Blocks of q8 in a segment; each segment begins with a new one. */
    int blocksPerSegment() {
        return blocks(run());
    }

    static int blocks(int run) {
        return (run + WeightType.BLOCK - 1) / WeightType.BLOCK;
    }

    /** The array that holds a panel. */
    Object array(int index) {
        if (arrays.isEmpty()) {
            throw new IllegalStateException("a weight was used after it was closed");
        }
        return arrays.get(index / panelsPerArray);
    }

    /** Where in it the panel begins. */
    int start(int index) {
        return index % panelsPerArray * columns * panel;
    }

    float[] scales(int index) {
        return scales.get(index / panelsPerArray);
    }

    /** Where in its array of scales those of a panel begin. */
    int scalesStart(int index) {
        return index % panelsPerArray * segments * blocksPerSegment() * panel;
    }

    /** Writes one row to {@code to}, as f32. */
    void row(int row, float[] to, int at) {
        int index = row / panel;
        int from = start(index);
        int place = row % panel;
        switch (type) {
            case F32 -> {
                float[] values = (float[]) array(index);
                for (int k = 0; k < columns; k++) {
                    to[at + k] = values[from + k * panel + place];
                }
            }
            case BF16 -> {
                short[] bits = (short[]) array(index);
                for (int k = 0, slot = from + PanelLayout.slot16(place, panel); k < columns; k++, slot += panel) {
                    to[at + k] = Half.bf16ToFloat(bits[slot]);
                }
            }
            case F16 -> {
                short[] bits = (short[]) array(index);
                for (int k = 0, slot = from + PanelLayout.slot16(place, panel); k < columns; k++, slot += panel) {
                    to[at + k] = Half.f16ToFloat(bits[slot]);
                }
            }
            case Q8 -> {
                byte[] bytes = (byte[]) array(index);
                float[] steps = scales(index);
                int run = run();
                for (int k = 0, slot = from + PanelLayout.slot8(place, panel); k < columns; k++, slot += panel) {
                    int block = k / run * blocksPerSegment() + k % run / WeightType.BLOCK;
                    to[at + k] = bytes[slot] * steps[scalesStart(index) + block * panel + place];
                }
            }
        }
    }

    @Override
    public long bytes() {
        long elements = (long) panels() * panel * columns;
        return switch (type) {
            case F32 -> 4 * elements;
            case BF16, F16 -> 2 * elements;
            case Q8 -> elements + 4L * panels() * panel * segments * blocksPerSegment();
        };
    }

    @Override
    public void close() {
        arrays = List.of();
        scales = List.of();
    }
}
