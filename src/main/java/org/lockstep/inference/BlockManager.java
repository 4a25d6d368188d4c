package org.lockstep.inference;

import java.util.Arrays;

/**
 * Which blocks of the key/value cache belong to whom (PagedAttention, Kwon et al., 2023). Ask, then do.
 *
 * <p>A sequence gets all blocks it can ever need when it is admitted, so it never has to be put off. Blocks given back
 * last are given out first: their memory is warm. Mutable; confined to the source rank's thread.
 */
final class BlockManager {
    private final int blockSize;
    private final int[] free;
    private final boolean[] taken;
    private int available;

    /**
     * All blocks free.
     *
     * @param blocks in the cache, at least 1
     * @param blockSize tokens in a block, at least 1
     */
    BlockManager(int blocks, int blockSize) {
        if (blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a cache of " + blocks + " blocks of " + blockSize + " tokens");
        }
        this.blockSize = blockSize;
        this.free = new int[blocks];
        this.taken = new boolean[blocks];
        for (int i = 0; i < blocks; i++) {
            free[i] = blocks - 1 - i;
        }
        this.available = blocks;
    }

    int available() {
        return available;
    }

    int blocksFor(int tokens) {
        return (tokens + blockSize - 1) / blockSize;
    }

    boolean canAllocate(int tokens) {
        return blocksFor(tokens) <= available;
    }

    /**
     * Takes the blocks for this many tokens, in the order of the positions they hold.
     *
     * @throws IllegalStateException unless {@link #canAllocate}
     */
    int[] allocate(int tokens) {
        int count = blocksFor(tokens);
        if (count > available) {
            throw new IllegalStateException(tokens + " tokens need " + count + " blocks, " + available + " are free");
        }
        int[] blocks = new int[count];
        for (int i = 0; i < count; i++) {
            blocks[i] = free[--available];
            taken[blocks[i]] = true;
        }
        return blocks;
    }

    /**
     * Gives blocks back.
     *
     * @throws IllegalStateException if one of them is free already
     */
    void free(int[] blocks) {
        for (int i = blocks.length - 1; i >= 0; i--) {
            if (!taken[blocks[i]]) {
                throw new IllegalStateException("block " + blocks[i] + " of " + Arrays.toString(blocks) + " is free");
            }
            taken[blocks[i]] = false;
            free[available++] = blocks[i];
        }
    }
}
