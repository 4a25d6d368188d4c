package org.lockstep.cuda;

import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;

/**
 * Keys and values in device memory, f32, bf16 or f16, each (blocks, heads, blockSize, headSize).
 *
 * @param keys as said
 * @param values likewise
 */
record DeviceCache(int blocks, int blockSize, int heads, int headSize, DeviceBuffer keys, DeviceBuffer values)
        implements CacheBlocks {
    private static final int MOST_HEAD_SIZE = 256; // what the kernels of attention keep in registers

    /** @throws IllegalArgumentException if the kernels have no form for this type, or the heads are larger than they can */
    static DeviceCache allocate(DeviceArena arena, DataType type, int blocks, int blockSize, int heads, int headSize) {
        if (type != DataType.F32 && type != DataType.BF16 && type != DataType.F16) {
            throw new IllegalArgumentException("a cache on a GPU is f32, bf16 or f16, not " + type);
        }
        if (headSize > MOST_HEAD_SIZE) {
            throw new IllegalArgumentException(
                    "heads of " + headSize + " are larger than attention on a GPU can: " + MOST_HEAD_SIZE);
        }
        long elements = Math.multiplyExact((long) blocks * blockSize, (long) heads * headSize);
        DeviceBuffer keys = DeviceBuffer.allocate(arena, type, elements);
        boolean made = false;
        try {
            DeviceBuffer values = DeviceBuffer.allocate(arena, type, elements);
            keys.zero();
            values.zero();
            made = true;
            return new DeviceCache(blocks, blockSize, heads, headSize, keys, values);
        } finally {
            if (!made) {
                keys.close();
            }
        }
    }

    /** As the names of the kernels have it. */
    DataType type() {
        return keys.type();
    }

    @Override
    public long bytes() {
        return keys.bytes() + values.bytes();
    }

    @Override
    public void close() {
        keys.close();
        values.close();
    }
}
