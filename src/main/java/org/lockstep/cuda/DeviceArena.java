package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.Device;

/**
 * All device memory of a rank, up to a budget: what is given back is used again, so that a step takes none from the driver,
 * and whatever is still out goes when the arena closes.
 *
 * <p>First fit in chunks, with neighbours joined, as the textbooks have it (Knuth, 1968, 2.5). Chunks are of
 * {@value #CHUNK} bytes, or larger for one large block, which goes back to the driver when it is free. A block that is
 * given back may be in use by kernels that are queued: who gets it next is behind them in the same stream. Thread-safe.
 */
final class DeviceArena implements AutoCloseable {
    private static final long CHUNK = 16L << 20;
    private static final long ALIGNMENT = 256; // what the driver gives, and what the widest loads ask for

    private final CudaDevice device;
    private final Staging staging;
    private final Device name;
    private final long budget;
    private final List<Chunk> chunks = new ArrayList<>();
    private long held;
    private volatile boolean closed;

    private DeviceArena(CudaDevice device, Staging staging, long budget) {
        this.device = device;
        this.staging = staging;
        this.name = new Device(Device.Kind.CUDA, device.seen().ordinal());
        this.budget = budget;
    }

    /** Takes nothing yet, and never more than {@code budget} bytes. */
    static DeviceArena create(CudaDevice device, long budget) {
        return new DeviceArena(device, Staging.allocate(device), budget);
    }

    CudaDevice device() {
        return device;
    }

    Staging staging() {
        return staging;
    }

    Device name() {
        return name;
    }

    /** Memory in the driver's hands that is divided here. */
    private static final class Chunk {
        final long start;
        final long size;
        final TreeMap<Long, Long> free = new TreeMap<>(); // start to size

        Chunk(long start, long size) {
            this.start = start;
            this.size = size;
            free.put(start, size);
        }

        /** The address of {@code bytes} that are free, or 0. */
        long take(long bytes) {
            Map.Entry<Long, Long> hole = free.entrySet().stream()
                    .filter(each -> each.getValue() >= bytes)
                    .findFirst()
                    .orElse(null);
            if (hole == null) {
                return 0;
            }
            long at = hole.getKey();
            long rest = hole.getValue() - bytes;
            free.remove(at);
            if (rest > 0) {
                free.put(at + bytes, rest);
            }
            return at;
        }

        void give(long at, long bytes) {
            long from = at;
            long to = at + bytes;
            Map.Entry<Long, Long> before = free.floorEntry(at);
            if (before != null && before.getKey() + before.getValue() == at) {
                from = before.getKey();
            }
            Long after = free.remove(to);
            if (after != null) {
                to += after;
            }
            free.put(from, to - from);
        }

        boolean isFree() {
            Long first = free.get(start);
            return first != null && first == size;
        }
    }

    /** A run of bytes of the arena. */
    final class Block implements AutoCloseable {
        private final Chunk chunk;
        private final long address;
        private final long bytes;
        private volatile boolean given;

        private Block(Chunk chunk, long address, long bytes) {
            this.chunk = chunk;
            this.address = address;
            this.bytes = bytes;
        }

        DeviceArena arena() {
            return DeviceArena.this;
        }

        /** @throws IllegalStateException if the block, or the arena, was closed */
        long address() {
            if (given || closed) {
                String what = given
                        ? "it was closed: close it behind its last use"
                        : "all of its rank were closed: call toHost() before";
                throw new IllegalStateException(
                        "a buffer of " + bytes + " bytes on " + name + " is used after " + what);
            }
            return address;
        }

        /** Idempotent. */
        @Override
        public void close() {
            synchronized (DeviceArena.this) {
                if (!given && !closed) {
                    given = true;
                    chunk.give(address, bytes);
                    if (chunk.size != CHUNK && chunk.isFree()) {
                        release(chunk);
                    }
                }
            }
        }
    }

    /**
     * At least so many bytes, aligned for every access.
     *
     * @throws LockstepException OUT_OF_MEMORY if the budget or the driver has not as many
     */
    synchronized Block allocate(long bytes) {
        if (closed) {
            throw new IllegalStateException("the memory of a rank on " + name + " was closed");
        }
        device.enter();
        long size = Math.max(1, (bytes + ALIGNMENT - 1) / ALIGNMENT) * ALIGNMENT;
        for (Chunk chunk : chunks) {
            long at = chunk.take(size);
            if (at != 0) {
                return new Block(chunk, at, size);
            }
        }
        Chunk chunk = chunk(size);
        return new Block(chunk, chunk.take(size), size);
    }

    private Chunk chunk(long least) {
        long size = least >= CHUNK || held + CHUNK > budget ? least : CHUNK;
        long address = held + size > budget ? 0 : device.allocate(size);
        if (address == 0) {
            throw outOfMemory(least);
        }
        Chunk chunk = new Chunk(address, size);
        chunks.add(chunk);
        held += size;
        return chunk;
    }

    private LockstepException outOfMemory(long bytes) {
        return LockstepException.report(
                        ErrorCode.OUT_OF_MEMORY,
                        String.format(
                                Locale.ROOT,
                                "a rank needs %,d bytes more on %s; it holds %,d of the %,d that it may, the device has"
                                        + " %,d left",
                                bytes,
                                device.seen().gpu(),
                                held,
                                budget,
                                device.free()))
                .attempt(
                        "more tensor or pipeline ranks on other devices, a smaller --max-model-len or --max-num-seqs, a"
                                + " larger --gpu-memory-utilization, or --dtype q8")
                .exception();
    }

    private void release(Chunk chunk) {
        device.enter();
        device.synchronize(); // what is queued may still use it
        chunks.remove(chunk);
        held -= chunk.size;
        device.release(chunk.start);
    }

    /** Bytes that it could still give, as far as the driver has them, and some to spare ({@link CudaOptions#spare}). */
    synchronized long available() {
        return closed
                ? 0
                : Math.max(0, Math.min(budget - held, device.free() - CudaOptions.spare(device.seen()))) + unused();
    }

    private long unused() {
        return chunks.stream()
                .flatMap(chunk -> chunk.free.values().stream())
                .mapToLong(Long::longValue)
                .sum();
    }

    /** Bytes taken from the driver. */
    synchronized long held() {
        return held;
    }

    /** Gives all back, also what is still in use. Idempotent. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            Release.all(endings()); // after a fault nothing of the driver succeeds; the rest is tried
        } finally {
            chunks.clear();
            held = 0;
        }
    }

    private List<Runnable> endings() {
        List<Runnable> all = new ArrayList<>();
        all.add(device::enter);
        all.add(device::finish);
        all.add(staging::close);
        chunks.forEach(chunk -> all.add(() -> device.release(chunk.start)));
        return all;
    }
}
