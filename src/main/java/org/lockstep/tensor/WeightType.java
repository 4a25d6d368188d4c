package org.lockstep.tensor;

import java.util.Locale;

/** How the matrices of a model are held on a device: as floating types, or quantised while they are loaded. */
public enum WeightType {
    F32,
    BF16,
    F16,
    /**
     * Blocks of {@value #BLOCK} neighbouring columns of a row, each an f32 scale and as many signed bytes: weight =
     * byte × scale, as llama.cpp's Q8_0 but for the scale's type.
     */
    Q8;

    /** Columns that share a scale in {@link #Q8}. */
    public static final int BLOCK = 32;

    /** The type that holds the elements of {@code type} as they are. */
    public static WeightType of(DataType type) {
        return switch (type) {
            case F32 -> F32;
            case BF16 -> BF16;
            case F16 -> F16;
            default -> throw new IllegalArgumentException("weights are f32, bf16 or f16, not " + type);
        };
    }

    /** Bytes of a matrix of this size, without a device's padding. */
    public long bytes(long rows, long columns) {
        return switch (this) {
            case F32 -> 4 * rows * columns;
            case BF16, F16 -> 2 * rows * columns;
            case Q8 -> rows * (columns + 4 * ((columns + BLOCK - 1) / BLOCK));
        };
    }

    /** The type of keys and values beside such weights: on a GPU theirs, where it has 16 bits, as in vLLM; else f32. */
    public DataType cacheOn(Device.Kind kind) {
        return switch (kind) {
            case CPU -> DataType.F32;
            case CUDA ->
                switch (this) {
                    case F32, Q8 -> DataType.F32;
                    case BF16 -> DataType.BF16;
                    case F16 -> DataType.F16;
                };
        };
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
