package org.lockstep.cpu;

import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Keys and values in heap memory, laid out so that attention needs no sum across neighbours: the scores of neighbouring
 * positions are neighbours, and so are the elements of a head's output.
 *
 * @param keys (blocks, heads, headSize, blockSize), f32
 * @param values (blocks, heads, blockSize, headSize), f32
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

    /** Where one head of a block begins, among keys and among values. */
    int start(int block, int head) {
        return (block * heads + head) * headSize * blockSize;
    }

    /** Writes one position's keys and values of all heads, each (heads · headSize) from its offset on. */
    void write(int block, int slot, float[] key, int keyAt, float[] value, int valueAt) {
        for (int head = 0; head < heads; head++) {
            int start = start(block, head);
            float[] to = keys.floats();
            for (int d = 0; d < headSize; d++) {
                to[start + d * blockSize + slot] = key[keyAt + head * headSize + d];
            }
            System.arraycopy(value, valueAt + head * headSize, values.floats(), start + slot * headSize, headSize);
        }
    }

    @Override
    public long bytes() {
        return keys.bytes() + values.bytes();
    }

    @Override
    public void close() {}
}
