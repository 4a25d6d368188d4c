package org.lockstep.tensor;

import java.lang.reflect.Array;
import java.util.Objects;
import java.util.StringJoiner;

/**
 * Elements in a Java heap array, or in a part of one: {@code float[]} for f32, {@code double[]} f64, {@code short[]}
 * bf16 and f16 (raw bits), {@code int[]} i32, {@code long[]} i64, {@code byte[]} i8, u8 and (raw
 * bits) f8_e4m3 and f8_e5m2.
 *
 * <p>Heap arrays rather than byte buffers: the JIT vectorises loops over them, the same class files do so on Java 17 and
 * 25, and threads of one JVM share them without a copy. At most 2^31 - 1 elements. Not thread-safe.
 */
public final class HostBuffer implements Buffer {
    private final DataType type;
    private final Object array;
    private final int offset;
    private final int length;

    /** Elements at most: what JVMs let an array have. */
    public static final long MOST_LENGTH = Integer.MAX_VALUE - 8;

    private HostBuffer(DataType type, Object array, int offset, int length) {
        this.type = type;
        this.array = array;
        this.offset = offset;
        this.length = length;
    }

    /** All of {@code array}, which is shared, not copied. */
    public static HostBuffer of(DataType type, Object array) {
        Class<?> wanted = arrayClass(type);
        if (array.getClass() != wanted) {
            throw new IllegalArgumentException("a host buffer of " + type + " wraps a " + wanted.getSimpleName()
                    + ", not a " + array.getClass().getSimpleName());
        }
        return new HostBuffer(type, array, 0, Array.getLength(array));
    }

    /** Zeros. */
    public static HostBuffer allocate(DataType type, long length) {
        if (length < 0 || length > MOST_LENGTH) {
            throw new IllegalArgumentException("length (" + length + ") of a host buffer is not in 0.." + MOST_LENGTH);
        }
        return of(type, Array.newInstance(arrayClass(type).getComponentType(), (int) length));
    }

    private static Class<?> arrayClass(DataType type) {
        return switch (type) {
            case F64 -> double[].class;
            case F32 -> float[].class;
            case BF16, F16 -> short[].class;
            case I64 -> long[].class;
            case I32 -> int[].class;
            case I8, U8, F8_E4M3, F8_E5M2 -> byte[].class;
        };
    }

    @Override
    public DataType type() {
        return type;
    }

    @Override
    public long length() {
        return length;
    }

    /** {@link #length()} as the int that it always is here. */
    public int size() {
        return length;
    }

    @Override
    public Device device() {
        return Device.HOST;
    }

    @Override
    public HostBuffer slice(long from, long count) {
        Objects.checkFromIndexSize(from, count, length);
        return new HostBuffer(type, array, offset + (int) from, (int) count);
    }

    @Override
    public HostBuffer toHost() {
        return this;
    }

    @Override
    public Object memory() {
        return array;
    }

    @Override
    public long position() {
        return offset;
    }

    @Override
    public void close() {}

    /** The array behind this buffer; its elements are those from {@link #offset()} on, {@link #size()} many. */
    public Object array() {
        return array;
    }

    /** Index in {@link #array()} of the first element. */
    public int offset() {
        return offset;
    }

    /** The array of an f32 buffer; mind {@link #offset()}. */
    public float[] floats() {
        return (float[]) typed(DataType.F32);
    }

    /** The array of an f64 buffer; mind {@link #offset()}. */
    public double[] doubles() {
        return (double[]) typed(DataType.F64);
    }

    /** The array of an i32 buffer; mind {@link #offset()}. */
    public int[] ints() {
        return (int[]) typed(DataType.I32);
    }

    /** The array of an i64 buffer; mind {@link #offset()}. */
    public long[] longs() {
        return (long[]) typed(DataType.I64);
    }

    /** The array of raw bits of a bf16 or f16 buffer; mind {@link #offset()}. */
    public short[] shorts() {
        if (type != DataType.BF16 && type != DataType.F16) {
            throw new IllegalStateException("a buffer of " + type + " has no short[]");
        }
        return (short[]) array;
    }

    /** The array of a buffer of 8-bit elements, of raw bits where they are floating; mind {@link #offset()}. */
    public byte[] byteArray() {
        if (type.bytes() != 1) {
            throw new IllegalStateException("a buffer of " + type + " has no byte[]");
        }
        return (byte[]) array;
    }

    private Object typed(DataType wanted) {
        if (type != wanted) {
            throw new IllegalStateException("a buffer of " + type + " was used as " + wanted);
        }
        return array;
    }

    /** Element {@code index} widened to double; exact for every type but i64 beyond 2^53. */
    public double get(int index) {
        int at = offset + Objects.checkIndex(index, length);
        return switch (type) {
            case F64 -> ((double[]) array)[at];
            case F32 -> ((float[]) array)[at];
            case BF16 -> Half.bf16ToFloat(((short[]) array)[at]);
            case F16 -> Half.f16ToFloat(((short[]) array)[at]);
            case I64 -> ((long[]) array)[at];
            case I32 -> ((int[]) array)[at];
            case I8 -> ((byte[]) array)[at];
            case U8 -> Byte.toUnsignedInt(((byte[]) array)[at]);
            case F8_E4M3 -> Fp8.e4m3ToFloat(((byte[]) array)[at]);
            case F8_E5M2 -> Fp8.e5m2ToFloat(((byte[]) array)[at]);
        };
    }

    /** A fresh array of all elements, widened or narrowed to float. */
    public float[] toFloats() {
        float[] out = new float[length];
        for (int i = 0; i < length; i++) {
            out[i] = (float) get(i);
        }
        return out;
    }

    /** The elements as another floating type, rounded to the nearest; this buffer itself if it has that type. */
    public HostBuffer to(DataType other) {
        if (other == type) {
            return this;
        }
        if (!type.isFloating() || !other.isFloating()) {
            throw new IllegalArgumentException("no conversion from " + type + " to " + other);
        }
        HostBuffer converted = allocate(other, length);
        for (int i = 0; i < length; i++) {
            double value = get(i);
            switch (other) {
                case F64 -> converted.doubles()[i] = value;
                case F32 -> converted.floats()[i] = (float) value;
                case BF16 -> converted.shorts()[i] = Half.floatToBf16((float) value);
                case F8_E4M3 -> converted.byteArray()[i] = Fp8.floatToE4m3((float) value);
                case F8_E5M2 -> converted.byteArray()[i] = Fp8.floatToE5m2((float) value);
                default -> converted.shorts()[i] = Half.floatToF16((float) value);
            }
        }
        return converted;
    }

    /** A fresh array of the elements of an i32 buffer. */
    public int[] toInts() {
        int[] all = ints();
        return java.util.Arrays.copyOfRange(all, offset, offset + length);
    }

    @Override
    public void copyFrom(HostBuffer source) {
        if (source.type != type || source.length != length) {
            throw new IllegalArgumentException(
                    "cannot copy " + source.type + "[" + source.length + "] to " + type + "[" + length + "]");
        }
        System.arraycopy(source.array, source.offset, array, offset, length);
    }

    @Override
    public void copyTo(HostBuffer target) {
        target.copyFrom(this);
    }

    /** Multiplies every element of a floating buffer by {@code factor}, in f32 for narrower types. */
    public void scale(double factor) {
        for (int i = offset; i < offset + length; i++) {
            switch (type) {
                case F64 -> ((double[]) array)[i] *= factor;
                case F32 -> ((float[]) array)[i] *= (float) factor;
                case BF16 -> {
                    short[] bits = (short[]) array;
                    bits[i] = Half.floatToBf16(Half.bf16ToFloat(bits[i]) * (float) factor);
                }
                case F16 -> {
                    short[] bits = (short[]) array;
                    bits[i] = Half.floatToF16(Half.f16ToFloat(bits[i]) * (float) factor);
                }
                case F8_E4M3 -> {
                    byte[] bits = (byte[]) array;
                    bits[i] = Fp8.floatToE4m3(Fp8.e4m3ToFloat(bits[i]) * (float) factor);
                }
                case F8_E5M2 -> {
                    byte[] bits = (byte[]) array;
                    bits[i] = Fp8.floatToE5m2(Fp8.e5m2ToFloat(bits[i]) * (float) factor);
                }
                default -> throw new IllegalStateException("a buffer of " + type + " is not scaled");
            }
        }
    }

    /** The type and the first elements, for people. */
    @Override
    public String toString() {
        int shown = Math.min(length, 8);
        StringJoiner text = new StringJoiner(", ", type + "[" + length + "]{", length > shown ? ", …}" : "}");
        for (int i = 0; i < shown; i++) {
            double value = get(i);
            text.add(type.isFloating() ? Float.toString((float) value) : Long.toString((long) value));
        }
        return text.toString();
    }
}
