package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** Elements as their bits, for tests that want those equal. */
final class Bits {
    private Bits() {}

    /** Elements of {@code type} whose bits these are. */
    static HostBuffer of(DataType type, byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int length = bytes.length / type.bytes();
        HostBuffer made = HostBuffer.allocate(type, length);
        switch (type) {
            case F64 -> in.asDoubleBuffer().get(made.doubles());
            case F32 -> in.asFloatBuffer().get(made.floats());
            case F16, BF16 -> in.asShortBuffer().get(made.shorts());
            case I64 -> in.asLongBuffer().get(made.longs());
            case I32 -> in.asIntBuffer().get(made.ints());
            case I8, U8, F8_E4M3, F8_E5M2 -> in.get(made.byteArray());
        }
        return made;
    }

    /** The bits of all elements. */
    static byte[] of(HostBuffer buffer) {
        ByteBuffer out =
                ByteBuffer.allocate(buffer.size() * buffer.type().bytes()).order(ByteOrder.LITTLE_ENDIAN);
        switch (buffer.type()) {
            case F64 -> out.asDoubleBuffer().put(buffer.doubles(), buffer.offset(), buffer.size());
            case F32 -> out.asFloatBuffer().put(buffer.floats(), buffer.offset(), buffer.size());
            case F16, BF16 -> out.asShortBuffer().put(buffer.shorts(), buffer.offset(), buffer.size());
            case I64 -> out.asLongBuffer().put(buffer.longs(), buffer.offset(), buffer.size());
            case I32 -> out.asIntBuffer().put(buffer.ints(), buffer.offset(), buffer.size());
            case I8, U8, F8_E4M3, F8_E5M2 -> out.put(buffer.byteArray(), buffer.offset(), buffer.size());
        }
        return out.array();
    }
}
