package org.lockstep.tensor;

/**
 * The keys and values of one layer, in blocks of positions that sequences own or share (PagedAttention, Kwon et al., 2023).
 * How a block is laid out is its device's business. Made by {@link Kernels#cache}; written and read by its kernels only.
 */
public interface CacheBlocks extends AutoCloseable {
    int blocks();

    /** Positions in a block. */
    int blockSize();

    /** Key/value heads. */
    int heads();

    int headSize();

    /** Bytes held on the device. */
    long bytes();

    /** Gives the memory back. Idempotent. */
    @Override
    void close();
}
