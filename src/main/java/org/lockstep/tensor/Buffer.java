package org.lockstep.tensor;

/**
 * A run of elements of one type in one device's memory: what collectives move and kernels read and write.
 *
 * <p>Not thread-safe. A slice shares the memory of the buffer it was cut from and is valid no longer than that buffer.
 */
public interface Buffer extends AutoCloseable {
    DataType type();

    /** Number of elements, not bytes. */
    long length();

    Device device();

    /**
     * A view of {@code length} elements from element {@code from} on.
     *
     * @throws IndexOutOfBoundsException if the range is not inside this buffer
     */
    Buffer slice(long from, long length);

    /** This buffer if it is in host memory, else a copy of it there, complete on return. */
    HostBuffer toHost();

    /**
     * Overwrites this buffer with {@code source}, which may be written again at once; on a device in the order of its work.
     *
     * @throws IllegalArgumentException for another type or length
     */
    void copyFrom(HostBuffer source);

    /**
     * Overwrites {@code target} with this buffer; complete on return.
     *
     * @throws IllegalArgumentException for another type or length
     */
    void copyTo(HostBuffer target);

    /** What it shares with its slices, and with nothing else: two buffers can overlap only if this is the same object. */
    Object memory();

    /** Where in {@link #memory()} it begins, in elements. */
    long position();

    default long bytes() {
        return length() * type().bytes();
    }

    /** Gives the memory back. Idempotent; on a slice, and on the host, without effect. */
    @Override
    void close();

    static HostBuffer ofFloats(float... values) {
        return HostBuffer.of(DataType.F32, values.clone());
    }

    static HostBuffer ofDoubles(double... values) {
        return HostBuffer.of(DataType.F64, values.clone());
    }

    static HostBuffer ofInts(int... values) {
        return HostBuffer.of(DataType.I32, values.clone());
    }

    static HostBuffer ofLongs(long... values) {
        return HostBuffer.of(DataType.I64, values.clone());
    }

    static HostBuffer ofBytes(byte... values) {
        return HostBuffer.of(DataType.I8, values.clone());
    }
}
