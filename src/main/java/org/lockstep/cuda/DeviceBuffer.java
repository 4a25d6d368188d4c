package org.lockstep.cuda;

import java.util.Objects;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.HostBuffer;

/** Elements in a rank's arena, or a part of them. Not thread-safe; after {@link #close} every use is refused. */
final class DeviceBuffer implements Buffer {
    private final DeviceArena.Block block;
    private final boolean whole;
    private final DataType type;
    private final long offset; // in bytes
    private final long length;

    private DeviceBuffer(DeviceArena.Block block, boolean whole, DataType type, long offset, long length) {
        this.block = block;
        this.whole = whole;
        this.type = type;
        this.offset = offset;
        this.length = length;
    }

    /** Contents as they are: those of whoever had the memory before. */
    static DeviceBuffer allocate(DeviceArena arena, DataType type, long length) {
        return new DeviceBuffer(arena.allocate(length * type.bytes()), true, type, 0, length);
    }

    @Override
    public DataType type() {
        return type;
    }

    @Override
    public long length() {
        return length;
    }

    @Override
    public Device device() {
        return block.arena().name();
    }

    DeviceArena arena() {
        return block.arena();
    }

    /** Where it is; kernels are given this. */
    long address() {
        return block.address() + offset;
    }

    @Override
    public DeviceBuffer slice(long from, long count) {
        Objects.checkFromIndexSize(from, count, length);
        return new DeviceBuffer(block, false, type, offset + from * type.bytes(), count);
    }

    @Override
    public Object memory() {
        return block;
    }

    @Override
    public long position() {
        return offset / type.bytes();
    }

    @Override
    public HostBuffer toHost() {
        HostBuffer copy = HostBuffer.allocate(type, length);
        copyTo(copy);
        return copy;
    }

    @Override
    public void copyTo(HostBuffer target) {
        if (target.type() != type || target.length() != length) {
            throw new IllegalArgumentException(
                    "cannot copy " + type + "[" + length + "] to " + target.type() + "[" + target.length() + "]");
        }
        block.arena().staging().download(address(), target);
    }

    @Override
    public void copyFrom(HostBuffer source) {
        if (source.type() != type || source.length() != length) {
            throw new IllegalArgumentException(
                    "cannot copy " + source.type() + "[" + source.length() + "] to " + type + "[" + length + "]");
        }
        block.arena().staging().upload(source, address());
    }

    /** In the order of the rank's stream, from memory of the same device, or of one that it reaches, of the same type and length. */
    void copyFrom(DeviceBuffer source) {
        if (source.address() != address() && length > 0) {
            block.arena().device().enter();
            block.arena().device().copy(source.address(), address(), bytes());
        }
    }

    void zero() {
        if (length > 0) {
            block.arena().device().enter();
            block.arena().device().zero(address(), bytes());
        }
    }

    @Override
    public void close() {
        if (whole) {
            block.close();
        }
    }

    /** The type and length, for people: the elements stay where they are. */
    @Override
    public String toString() {
        return type + "[" + length + "] on " + device();
    }
}
