package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.DataType;

/**
 * Ints that kernels are told, step by step: filled in pinned memory, of which there are several so that none is waited for,
 * and copied at once to memory of the device. Grows to the most seen. Confined to one thread at a time.
 */
final class DeviceInts implements AutoCloseable {
    private static final int RING = 4;
    private static final int LEAST = 1024;

    private final CudaDevice device;
    private final @Nullable Pinned[] ring = new @Nullable Pinned[RING];
    private final Scratch target;
    private @Nullable Pinned filling;
    private int turn;
    private int count;

    /** @param moved is told when they are somewhere else than before */
    DeviceInts(CudaDevice device, DeviceArena arena, Runnable moved) {
        this.device = device;
        this.target = new Scratch(arena, DataType.I32, moved);
    }

    /** Takes room for so many ahead. */
    void reserve(int ints) {
        for (int i = 0; i < RING; i++) {
            begin(ints);
        }
        filling = null;
        target.of(ints);
    }

    /** Room for so many, to be filled before {@link #end}. */
    IntBuffer begin(int ints) {
        turn = (turn + 1) % RING;
        Pinned memory = ring[turn];
        if (memory == null || memory.bytes().capacity() < 4L * ints) {
            if (memory != null) {
                memory.await();
                ring[turn] = null; // whatever becomes of the next
                memory.close();
            }
            memory = Pinned.allocate(device, 4 * Math.max(LEAST, Integer.highestOneBit(ints) * 2));
            ring[turn] = memory;
        }
        memory.await();
        filling = memory;
        count = ints;
        ByteBuffer bytes = memory.bytes();
        return bytes.clear().asIntBuffer();
    }

    /** Queues the copy; the address on the device, whose contents are these until the next {@code end}. */
    long end() {
        Pinned memory = filling;
        if (memory == null) {
            throw new IllegalStateException("nothing was begun");
        }
        DeviceBuffer room = target.of(count, Math.max(LEAST, Integer.highestOneBit(count) * 2));
        if (count > 0) {
            device.copyUp(memory.pointer(), room.address(), 4L * count);
            memory.use();
        }
        filling = null;
        return room.address();
    }

    /** All of {@code values}. */
    long of(int[] values) {
        begin(values.length).put(values);
        return end();
    }

    /** The device must be done with them; its own memory goes with the arena. */
    @Override
    public void close() {
        List<Runnable> all = new ArrayList<>();
        for (int i = 0; i < RING; i++) {
            Pinned memory = ring[i];
            ring[i] = null;
            if (memory != null) {
                all.add(memory::close);
            }
        }
        Release.all(all);
    }
}
