package org.lockstep.model;

/**
 * How much context a pipeline stage can hold: its KV cache in blocks, as PagedAttention has it (Kwon et al., 2023).
 *
 * @param blocks of the cache, shared by all sequences; at least 1
 * @param blockSize tokens in a block; at least 1
 */
public record CacheSize(int blocks, int blockSize) {
    public CacheSize {
        if (blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a cache of " + blocks + " blocks of " + blockSize
                    + " tokens holds nothing: both must be at least 1");
        }
    }

    /** Tokens of all sequences together. */
    public long tokens() {
        return (long) blocks * blockSize;
    }
}
