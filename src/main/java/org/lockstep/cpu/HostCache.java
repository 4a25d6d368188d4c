package org.lockstep.cpu;

import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * Keys and values in heap memory, laid out so that attention needs no sum across neighbours: the scores of neighbouring
 * positions are neighbours, and so are the elements of a head's output. They stand in {@linkplain Arithmetic#strips strips}, as far
 * as a block or a head is made of whole ones, and attention reads those where they are.
 *
 * @param keys (blocks, heads, strips of positions, headSize, positions of a strip), f32
 * @param values (blocks, heads, strips of a head, blockSize, elements of a strip), f32
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

    /** Positions whose keys stand side by side: a strip's, or all of a block that is not made of strips. */
    int keysBeside() {
        return blockSize % Arithmetic.LANES == 0 ? Arithmetic.LANES : blockSize;
    }

    /** Elements of a value that stand side by side: a strip's, or a whole head. */
    int valuesBeside() {
        return headSize % Arithmetic.LANES == 0 ? Arithmetic.LANES : headSize;
    }

    /** Where the first element of a position's key is; the next is {@link #keysBeside} further on. */
    int keyAt(int block, int head, int slot) {
        int beside = keysBeside();
        return start(block, head) + slot / beside * headSize * beside + slot % beside;
    }

    /** Where a position's value begins; the next position's is {@link #valuesBeside} further on. */
    int valueAt(int block, int head, int slot) {
        return start(block, head) + slot * valuesBeside();
    }

    private int start(int block, int head) {
        return (block * heads + head) * headSize * blockSize;
    }

    /** Writes one position's keys and values of all heads, each (heads · headSize) from its offset on. */
    void write(int block, int slot, float[] key, int keyFrom, float[] value, int valueFrom) {
        int keyStride = keysBeside();
        int beside = valuesBeside();
        for (int head = 0; head < heads; head++) {
            float[] to = keys.floats();
            int from = keyFrom + head * headSize;
            int at = keyAt(block, head, slot);
            for (int d = 0; d < headSize; d++) {
                to[at + d * keyStride] = key[from + d];
            }
            from = valueFrom + head * headSize;
            at = valueAt(block, head, slot);
            for (int d = 0; d < headSize; d += beside) {
                System.arraycopy(value, from + d, values.floats(), at + d * blockSize, beside);
            }
        }
    }

    @Override
    public long bytes() {
        return keys.bytes() + values.bytes();
    }

    @Override
    public void close() {}
}
