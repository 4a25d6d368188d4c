package org.lockstep.transport;

import java.nio.ByteBuffer;
import org.lockstep.tensor.HostBuffer;

/** Elements of heap arrays as little-endian bytes, in bulk. */
final class Wire {
    private Wire() {}

    /** Puts as many whole elements from element {@code from} on as fit; the buffer is little-endian. */
    static void put(HostBuffer source, int from, ByteBuffer out) {
        int width = source.type().bytes();
        int count = Math.min(source.size() - from, out.remaining() / width);
        int at = source.offset() + from;
        switch (source.type()) {
            case F64 -> out.asDoubleBuffer().put(source.doubles(), at, count);
            case F32 -> out.asFloatBuffer().put(source.floats(), at, count);
            case BF16, F16 -> out.asShortBuffer().put(source.shorts(), at, count);
            case I64 -> out.asLongBuffer().put(source.longs(), at, count);
            case I32 -> out.asIntBuffer().put(source.ints(), at, count);
            case I8, U8 -> out.duplicate().put(source.byteArray(), at, count);
        }
        out.position(out.position() + count * width);
    }

    /** Takes as many whole elements as there are, to element {@code to} on; the number of elements taken. */
    static int get(ByteBuffer in, HostBuffer target, int to) {
        int width = target.type().bytes();
        int count = Math.min(target.size() - to, in.remaining() / width);
        int at = target.offset() + to;
        switch (target.type()) {
            case F64 -> in.asDoubleBuffer().get(target.doubles(), at, count);
            case F32 -> in.asFloatBuffer().get(target.floats(), at, count);
            case BF16, F16 -> in.asShortBuffer().get(target.shorts(), at, count);
            case I64 -> in.asLongBuffer().get(target.longs(), at, count);
            case I32 -> in.asIntBuffer().get(target.ints(), at, count);
            case I8, U8 -> in.duplicate().get(target.byteArray(), at, count);
        }
        in.position(in.position() + count * width);
        return count;
    }
}
