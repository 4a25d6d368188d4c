package org.lockstep.transport;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;
import org.lockstep.tensor.HostBuffer;

/**
 * Memory outside the heap that two ranks share: of this JVM, or of a mapped file.
 *
 * <p>Elements move in bulk; single words are published with release and read with acquire, which orders the elements
 * before them. Positions are in bytes and multiples of the width of what is there.
 */
final class Memory {
    private static final VarHandle WORD = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());

    /** Up to so many elements are moved one by one, which is faster than to ask for a bulk move. */
    private static final int FEW = 12;

    private final ByteBuffer bytes;
    private final FloatBuffer floats;
    private final DoubleBuffer doubles;
    private final ShortBuffer shorts;
    private final IntBuffer ints;
    private final LongBuffer longs;

    /** Over all of a direct buffer that begins at a multiple of 8. */
    Memory(ByteBuffer direct) {
        bytes = direct.duplicate().clear().order(ByteOrder.nativeOrder());
        floats = bytes.asFloatBuffer();
        doubles = bytes.asDoubleBuffer();
        shorts = bytes.asShortBuffer();
        ints = bytes.asIntBuffer();
        longs = bytes.asLongBuffer();
    }

    int size() {
        return bytes.capacity();
    }

    void publish(int at, long word) {
        WORD.setRelease(bytes, at, word);
    }

    long read(int at) {
        return (long) WORD.getAcquire(bytes, at);
    }

    /** Without an order of its own: a {@link #publish} of another word follows. */
    void set(int at, long word) {
        bytes.putLong(at, word);
    }

    /** Without an order of its own: a {@link #read} of another word came before. */
    long get(int at) {
        return bytes.getLong(at);
    }

    /** Writes elements {@code from} to {@code from + count} of {@code source}. */
    void put(int at, HostBuffer source, int from, int count) {
        int first = source.offset() + from;
        switch (source.type()) {
            case F32 -> {
                float[] array = source.floats();
                if (count <= FEW) {
                    for (int i = 0; i < count; i++) {
                        floats.put(at / 4 + i, array[first + i]);
                    }
                } else {
                    floats.put(at / 4, array, first, count);
                }
            }
            case F64 -> doubles.put(at / 8, source.doubles(), first, count);
            case BF16, F16 -> shorts.put(at / 2, source.shorts(), first, count);
            case I64 -> longs.put(at / 8, source.longs(), first, count);
            case I32 -> ints.put(at / 4, source.ints(), first, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> bytes.put(at, source.byteArray(), first, count);
        }
    }

    /** Reads elements {@code from} to {@code from + count} of {@code target}. */
    void get(int at, HostBuffer target, int from, int count) {
        int first = target.offset() + from;
        switch (target.type()) {
            case F32 -> {
                float[] array = target.floats();
                if (count <= FEW) {
                    for (int i = 0; i < count; i++) {
                        array[first + i] = floats.get(at / 4 + i);
                    }
                } else {
                    floats.get(at / 4, array, first, count);
                }
            }
            case F64 -> doubles.get(at / 8, target.doubles(), first, count);
            case BF16, F16 -> shorts.get(at / 2, target.shorts(), first, count);
            case I64 -> longs.get(at / 8, target.longs(), first, count);
            case I32 -> ints.get(at / 4, target.ints(), first, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> bytes.get(at, target.byteArray(), first, count);
        }
    }
}
