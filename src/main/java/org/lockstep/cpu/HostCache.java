package org.lockstep.cpu;

import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Keys and values in heap memory.
 *
 * @param keys (blocks, blockSize, heads · headSize), f32
 * @param values likewise
 */
record HostCache(HostBuffer keys, HostBuffer values, int blocks, int blockSize, int heads, int headSize)
        implements CacheBlocks {
    static HostCache allocate(int blocks, int blockSize, int heads, int headSize) {
        long length = (long) blocks * blockSize * heads * headSize;
        return new HostCache(
                HostBuffer.allocate(DataType.F32, length),
                HostBuffer.allocate(DataType.F32, length),
                blocks,
                blockSize,
                heads,
                headSize);
    }

    @Override
    public long bytes() {
        return keys.bytes() + values.bytes();
    }

    @Override
    public void close() {}
}
