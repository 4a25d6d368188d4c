package org.lockstep.model;

import org.lockstep.tensor.DataType;

/**
 * How much context a pipeline stage can hold: its KV cache in blocks, as PagedAttention has it (Kwon et al., 2023).
 *
 * @param blocks of the cache, shared by all sequences; at least 1
 * @param blockSize tokens in a block; at least 1
 * @param longest tokens of one sequence at most; at least 1
 * @param type that keys and values are held in: f32, on a GPU also bf16 or f16
 */
public record CacheSize(int blocks, int blockSize, int longest, DataType type) {
    public CacheSize {
        if (blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a cache of " + blocks + " blocks of " + blockSize
                    + " tokens holds nothing: both must be at least 1");
        }
        if (longest < 1) {
            throw new IllegalArgumentException("sequences of " + longest + " tokens");
        }
    }

    /** Of sequences each of which may fill it. */
    public CacheSize(int blocks, int blockSize, DataType type) {
        this(blocks, blockSize, (int) Math.min((long) blocks * blockSize, Integer.MAX_VALUE), type);
    }

    /** Tokens of all sequences together. */
    public long tokens() {
        return (long) blocks * blockSize;
    }
}
