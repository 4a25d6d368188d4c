package org.lockstep.cuda;

import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Q8Blocks;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * A matrix in device memory, row-major, as it is stored. Of q8 the scales lie apart: (rows, segments · blocks of a segment).
 */
final class DeviceWeight implements Weight {
    private static final int READ_ELEMENTS = 1 << 20; // at once: as many as a pinned buffer holds of f32

    private final int rows;
    private final int columns;
    private final WeightType type;
    private final int segments;
    private final DeviceBuffer elements;
    private final @Nullable DeviceBuffer scales; // of q8

    private DeviceWeight(
            int rows,
            int columns,
            WeightType type,
            int segments,
            DeviceBuffer elements,
            @Nullable DeviceBuffer scales) {
        this.rows = rows;
        this.columns = columns;
        this.type = type;
        this.segments = segments;
        this.elements = elements;
        this.scales = scales;
    }

    /**
     * Reads all of {@code source}, some rows while the device copies those before.
     *
     * @throws IllegalArgumentException if a weight is beyond what f16 or q8 hold
     */
    static DeviceWeight load(DeviceArena arena, MatrixSource source, WeightType type, int segments) {
        int rows = source.rows();
        int columns = source.columns();
        DataType held = type == WeightType.Q8 ? DataType.I8 : floating(type);
        int perRow = type == WeightType.Q8 ? segments * blocks(columns / segments) : 0;
        DeviceBuffer elements = DeviceBuffer.allocate(arena, held, (long) rows * columns);
        DeviceBuffer scales = null;
        boolean loaded = false;
        try {
            scales = perRow == 0 ? null : DeviceBuffer.allocate(arena, DataType.F32, (long) rows * perRow);
            int atOnce = Math.max(1, READ_ELEMENTS / Math.max(1, columns));
            for (int from = 0; from < rows; from += atOnce) {
                int count = Math.min(atOnce, rows - from);
                HostBuffer read = source.read(from, count);
                DeviceBuffer part = elements.slice((long) from * columns, (long) count * columns);
                if (scales == null) {
                    part.copyFrom(convert(read, held));
                } else {
                    byte[] bytes = new byte[count * columns];
                    float[] scale = new float[count * perRow];
                    quantise(read.toFloats(), columns / segments, bytes, scale);
                    part.copyFrom(HostBuffer.of(DataType.I8, bytes));
                    scales.slice((long) from * perRow, (long) count * perRow)
                            .copyFrom(HostBuffer.of(DataType.F32, scale));
                }
            }
            loaded = true;
            return new DeviceWeight(rows, columns, type, segments, elements, scales);
        } finally {
            if (!loaded) {
                elements.close();
                if (scales != null) {
                    scales.close();
                }
            }
        }
    }

    static DataType floating(WeightType type) {
        return switch (type) {
            case F32 -> DataType.F32;
            case BF16 -> DataType.BF16;
            case F16 -> DataType.F16;
            case Q8 -> throw new IllegalArgumentException(type + " has no floating type");
        };
    }

    private static int blocks(int run) {
        return (run + WeightType.BLOCK - 1) / WeightType.BLOCK;
    }

    private static HostBuffer convert(HostBuffer read, DataType held) {
        if (read.type() == held) {
            return read;
        }
        HostBuffer converted = read.to(held);
        if (held == DataType.F16) {
            for (int i = 0; i < converted.size(); i++) {
                float value = (float) converted.get(i);
                if (!(Math.abs(value) < Float.POSITIVE_INFINITY)) {
                    throw new IllegalArgumentException("the weight " + read.get(i) + ", stored as " + read.type()
                            + ", is not finite in f16: hold this model's weights as f32 or bf16");
                }
            }
        }
        return converted;
    }

    /** As {@link WeightType#Q8} says; blocks begin anew with each run of columns. */
    private static void quantise(float[] all, int run, byte[] bytes, float[] scales) {
        int block = 0;
        for (int start = 0; start < all.length; start += run) {
            for (int from = start; from < start + run; from += WeightType.BLOCK) {
                int end = Math.min(from + WeightType.BLOCK, start + run);
                float scale = Q8Blocks.scale(all, from, end);
                for (int k = from; k < end; k++) {
                    bytes[k] = Q8Blocks.quantise(all[k], scale);
                }
                scales[block++] = scale;
            }
        }
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

    @Override
    public long bytes() {
        return elements.bytes() + (scales == null ? 0 : scales.bytes());
    }

    long address() {
        return elements.address();
    }

    /** Of q8. */
    long scales() {
        if (scales == null) {
            throw new IllegalStateException("a weight of " + type + " has no scales");
        }
        return scales.address();
    }

    @Override
    public void close() {
        elements.close();
        if (scales != null) {
            scales.close();
        }
    }
}
