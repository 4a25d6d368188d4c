package org.lockstep.inference;

import java.util.Arrays;

/**
 * Finds the block of the cache that holds given tokens after a given beginning: what vLLM's automatic prefix caching looks
 * up by a chain of hashes, here without trust in a hash.
 *
 * <p>A tree whose nodes are full blocks. What a block holds has a name, a number that is never used again; a block is found
 * by the name of what goes before it and by its own tokens, all of which are compared. So two sequences that find the same
 * block are equal up to its end. Where a block is taken away its successors are no longer found, but never mistaken.
 * Mutable; confined to the source rank's thread.
 */
final class PrefixIndex {
    /** The name of an empty beginning. */
    static final long ROOT = 0;

    static final int NONE = -1;

    private static final int[] NO_TOKENS = {};
    private static final long MULTIPLIER = 0x9e3779b97f4a7c15L; // 2^64 / golden ratio: Knuth's multiplicative hashing

    private final int blockSize;
    private final long[] names; // by block, of what it holds; ROOT where nothing was noted
    private final long[] parents; // by block, of what goes before it
    private final int[][] tokens; // by block, made when first noted
    private final boolean[] found; // by block; of several that hold the same only the first is
    private final int[] buckets; // by hash, the first block
    private final int[] chain; // by block, the next of its bucket
    private long lastName = ROOT;

    PrefixIndex(int blocks, int blockSize) {
        this.blockSize = blockSize;
        this.names = new long[blocks];
        this.parents = new long[blocks];
        this.tokens = new int[blocks][];
        Arrays.fill(tokens, NO_TOKENS);
        this.found = new boolean[blocks];
        this.buckets = new int[Integer.highestOneBit(Math.min(blocks, 1 << 29)) * 2];
        this.chain = new int[blocks];
        Arrays.fill(buckets, NONE);
    }

    /** The block that holds these {@code blockSize} tokens of a sequence after what {@code parent} names, or NONE. */
    int find(long parent, Sequence sequence, int from) {
        int block = buckets[bucket(parent, sequence, from)];
        while (block != NONE && !holds(block, parent, sequence, from)) {
            block = chain[block];
        }
        return block;
    }

    /** Notes that {@code block} holds these tokens after what {@code parent} names; it is found unless another is. */
    void add(int block, long parent, Sequence sequence, int from) {
        int equal = find(parent, sequence, from);
        if (equal != NONE) {
            names[block] = names[equal];
            return;
        }
        if (tokens[block].length == 0) {
            tokens[block] = new int[blockSize];
        }
        for (int i = 0; i < blockSize; i++) {
            tokens[block][i] = sequence.token(from + i);
        }
        names[block] = ++lastName;
        parents[block] = parent;
        found[block] = true;
        int bucket = bucket(parent, sequence, from);
        chain[block] = buckets[bucket];
        buckets[bucket] = block;
    }

    /** The name of what a block holds; ROOT if nothing was noted of it. */
    long name(int block) {
        return names[block];
    }

    boolean contains(int block) {
        return found[block];
    }

    /** Forgets what a block holds, for it is about to hold something else. */
    void remove(int block) {
        names[block] = ROOT;
        if (!found[block]) {
            return;
        }
        found[block] = false;
        long hash = parents[block];
        for (int token : tokens[block]) {
            hash = mix(hash, token);
        }
        int bucket = bucket(hash);
        if (buckets[bucket] == block) {
            buckets[bucket] = chain[block];
            return;
        }
        int before = buckets[bucket];
        while (chain[before] != block) {
            before = chain[before];
        }
        chain[before] = chain[block];
    }

    private boolean holds(int block, long parent, Sequence sequence, int from) {
        if (parents[block] != parent) {
            return false;
        }
        for (int i = 0; i < blockSize; i++) {
            if (tokens[block][i] != sequence.token(from + i)) {
                return false;
            }
        }
        return true;
    }

    private int bucket(long parent, Sequence sequence, int from) {
        long hash = parent;
        for (int i = 0; i < blockSize; i++) {
            hash = mix(hash, sequence.token(from + i));
        }
        return bucket(hash);
    }

    private int bucket(long hash) {
        return (int) (mix(hash, 0) >>> 32) & (buckets.length - 1);
    }

    private static long mix(long hash, int token) {
        return Long.rotateLeft((hash ^ token) * MULTIPLIER, 29);
    }
}
