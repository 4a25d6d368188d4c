package org.lockstep.transport;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.lockstep.tensor.HostBuffer;

/** Elements of heap arrays as little-endian bytes, in bulk. */
final class Wire {
    private Wire() {}

    static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Puts {@code count} elements from element {@code from} on at the position; the buffer is little-endian. */
    static void put(HostBuffer source, int from, int count, ByteBuffer out) {
        int at = source.offset() + from;
        switch (source.type()) {
            case F64 -> out.asDoubleBuffer().put(source.doubles(), at, count);
            case F32 -> out.asFloatBuffer().put(source.floats(), at, count);
            case BF16, F16 -> out.asShortBuffer().put(source.shorts(), at, count);
            case I64 -> out.asLongBuffer().put(source.longs(), at, count);
            case I32 -> out.asIntBuffer().put(source.ints(), at, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> out.duplicate().put(source.byteArray(), at, count);
        }
    }

    /** Takes {@code count} elements at the position to element {@code to} on. */
    static void get(ByteBuffer in, HostBuffer target, int to, int count) {
        int at = target.offset() + to;
        switch (target.type()) {
            case F64 -> in.asDoubleBuffer().get(target.doubles(), at, count);
            case F32 -> in.asFloatBuffer().get(target.floats(), at, count);
            case BF16, F16 -> in.asShortBuffer().get(target.shorts(), at, count);
            case I64 -> in.asLongBuffer().get(target.longs(), at, count);
            case I32 -> in.asIntBuffer().get(target.ints(), at, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> in.duplicate().get(target.byteArray(), at, count);
        }
    }
}
