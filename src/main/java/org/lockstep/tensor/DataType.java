package org.lockstep.tensor;

import java.util.Locale;

/** The element types of buffers, with their size on the wire and in files. */
public enum DataType {
    F64(8),
    F32(4),
    BF16(2),
    F16(2),
    I64(8),
    I32(4),
    I8(1),
    U8(1),

    /** Floating, of 4 bits of exponent and 3 of mantissa: {@link Fp8}. */
    F8_E4M3(1),

    /** Floating, of 5 bits of exponent and 2 of mantissa: {@link Fp8}. */
    F8_E5M2(1);

    private final int bytes;

    DataType(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }

    public boolean isFloating() {
        return this == F64 || this == F32 || isNarrow();
    }

    /** Whether it is floating, and sums of it are made in f32. */
    public boolean isNarrow() {
        return this == BF16 || this == F16 || isFp8();
    }

    /** Whether it is floating, of 8 bits. */
    public boolean isFp8() {
        return this == F8_E4M3 || this == F8_E5M2;
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
