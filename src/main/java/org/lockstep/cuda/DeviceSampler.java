package org.lockstep.cuda;

import java.nio.IntBuffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Draws;
import org.lockstep.tensor.HostBuffer;

/**
 * An index of each row of logits: the largest, or one that is drawn. Logits stay on the device; indices are copied to the host, which
 * is waited for. Confined to one thread at a time.
 */
final class DeviceSampler implements AutoCloseable {
    private static final int THREADS = 1024;
    private static final int LEAST = 64; // rows
    private static final int DRAW = 8; // ints of a Draw of sample.cu

    private final KernelModule kernels;
    private final DeviceInts told;
    private final Scratch chosen;
    private int[] drawn = new int[LEAST];

    /** Without memory yet. */
    DeviceSampler(DeviceArena arena, KernelModule kernels) {
        this.kernels = kernels;
        this.told = new DeviceInts(arena.device(), arena, () -> {});
        this.chosen = new Scratch(arena, DataType.I32, () -> {});
    }

    /** Takes room ahead for so many rows. */
    void reserve(int rows) {
        told.reserve(rows * DRAW);
        chosen.of(rows, Math.max(LEAST, rows));
    }

    /** As {@link org.lockstep.tensor.Kernels#argmax}. */
    void argmax(long x, int rows, int n, int[] out) {
        DeviceBuffer indices = chosen.of(rows, Math.max(LEAST, rows));
        kernels.with().pointer(x).number(n).pointer(indices.address()).launch("argmax", rows, THREADS);
        indices.slice(0, rows).copyTo(HostBuffer.of(DataType.I32, out).slice(0, rows));
    }

    /** As {@link org.lockstep.tensor.Kernels#sample}. */
    void sample(long logits, int n, Draws draws, int[] out) {
        int count = draws.count();
        IntBuffer ints = told.begin(count * DRAW);
        for (int draw = 0; draw < count; draw++) {
            put(ints, draws.uniform(draw));
            put(ints, draws.topP(draw));
            ints.put(Float.floatToRawIntBits(draws.inverseTemperature(draw)));
            ints.put(Float.floatToRawIntBits((float) draws.minP(draw)));
            ints.put(draws.topK(draw));
            ints.put(draws.row(draw));
        }
        DeviceBuffer indices = chosen.of(count, Math.max(LEAST, count));
        kernels.with()
                .pointer(logits)
                .number(n)
                .pointer(told.end())
                .pointer(indices.address())
                .launch("sample", count, THREADS);
        if (drawn.length < count) {
            drawn = new int[count];
        }
        indices.slice(0, count).copyTo(HostBuffer.of(DataType.I32, drawn).slice(0, count));
        for (int draw = 0; draw < count; draw++) {
            out[draws.row(draw)] = drawn[draw];
        }
    }

    /** The lower half first, as every machine with a device that is supported has it. */
    private static void put(IntBuffer to, double value) {
        long bits = Double.doubleToRawLongBits(value);
        to.put((int) bits).put((int) (bits >>> 32));
    }

    /** The device must be done with what it was told; its own memory goes with the arena. */
    @Override
    public void close() {
        told.close();
    }
}
