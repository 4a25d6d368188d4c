package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Copies between heap arrays and device memory over two pinned buffers: while the device copies one, this thread fills or
 * drains the other. Thread-safe.
 */
final class Staging implements AutoCloseable {
    private static final int SLICE = 4 << 20;

    private final CudaDevice device;
    private final List<Pinned> halves;
    private int turn;

    private Staging(CudaDevice device, List<Pinned> halves) {
        this.device = device;
        this.halves = halves;
    }

    static Staging allocate(CudaDevice device) {
        Pinned one = Pinned.allocate(device, SLICE);
        boolean made = false;
        try {
            Staging both = new Staging(device, List.of(one, Pinned.allocate(device, SLICE)));
            made = true;
            return both;
        } finally {
            if (!made) {
                one.close();
            }
        }
    }

    /** Elements of {@code type} that are copied at once. */
    static int slice(DataType type) {
        return SLICE / type.bytes();
    }

    /** Queues the copy of all of {@code source}, which may be written again at once. */
    synchronized void upload(HostBuffer source, long address) {
        device.enter();
        int slice = slice(source.type());
        int width = source.type().bytes();
        for (int from = 0; from < source.size(); from += slice) {
            int count = Math.min(slice, source.size() - from);
            Pinned half = next();
            half.await();
            put(source, from, count, half.bytes());
            device.copyUp(half.pointer(), address + (long) from * width, (long) count * width);
            half.use();
        }
    }

    /** Copies to all of {@code target}, which is complete on return. */
    synchronized void download(long address, HostBuffer target) {
        device.enter();
        int slice = slice(target.type());
        int width = target.type().bytes();
        Pinned waiting = null;
        for (int from = 0; from < target.size(); from += slice) {
            Pinned half = next();
            half.await(); // an upload may have used it
            device.copyDown(
                    address + (long) from * width,
                    half.pointer(),
                    (long) Math.min(slice, target.size() - from) * width);
            half.use();
            if (waiting != null) {
                drain(waiting, target, from - slice);
            }
            waiting = half;
        }
        if (waiting != null) {
            drain(waiting, target, (target.size() - 1) / slice * slice);
        }
    }

    private static void drain(Pinned half, HostBuffer target, int from) {
        half.await();
        get(half.bytes(), target, from, Math.min(slice(target.type()), target.size() - from));
    }

    private Pinned next() {
        turn = 1 - turn;
        return halves.get(turn);
    }

    /** Elements {@code from} to {@code from + count - 1} to the beginning of {@code to}. */
    static void put(HostBuffer source, int from, int count, ByteBuffer to) {
        ByteBuffer bytes = to.duplicate().order(ByteOrder.nativeOrder()).clear();
        int at = source.offset() + from;
        switch (source.type()) {
            case F64 -> bytes.asDoubleBuffer().put(source.doubles(), at, count);
            case F32 -> bytes.asFloatBuffer().put(source.floats(), at, count);
            case BF16, F16 -> bytes.asShortBuffer().put(source.shorts(), at, count);
            case I64 -> bytes.asLongBuffer().put(source.longs(), at, count);
            case I32 -> bytes.asIntBuffer().put(source.ints(), at, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> bytes.put(source.byteArray(), at, count);
        }
    }

    private static void get(ByteBuffer from, HostBuffer target, int to, int count) {
        ByteBuffer bytes = from.duplicate().order(ByteOrder.nativeOrder()).clear();
        int at = target.offset() + to;
        switch (target.type()) {
            case F64 -> bytes.asDoubleBuffer().get(target.doubles(), at, count);
            case F32 -> bytes.asFloatBuffer().get(target.floats(), at, count);
            case BF16, F16 -> bytes.asShortBuffer().get(target.shorts(), at, count);
            case I64 -> bytes.asLongBuffer().get(target.longs(), at, count);
            case I32 -> bytes.asIntBuffer().get(target.ints(), at, count);
            case I8, U8, F8_E4M3, F8_E5M2 -> bytes.get(target.byteArray(), at, count);
        }
    }

    /** The device must be done with it. */
    @Override
    public synchronized void close() {
        Release.all(halves.stream().<Runnable>map(half -> half::close).toList());
    }
}
