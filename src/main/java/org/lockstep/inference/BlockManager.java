package org.lockstep.inference;

import org.jspecify.annotations.Nullable;

/**
 * Which blocks of the key/value cache belong to whom (PagedAttention, Kwon et al., 2023).
 *
 * <p>A sequence is given the blocks of the tokens it has, and one more whenever it outgrows them. A full block may belong to
 * several sequences, those whose tokens are equal up to its end; nobody writes to it any more. A block that nobody has keeps
 * its tokens and can be found ({@link PrefixIndex}) until it is the one that was given back longest ago and its room is
 * wanted. Of one sequence's blocks the last goes first: it is of use only together with those before it.
 *
 * <p>A block can be found as soon as its tokens are planned, before they are computed: in every layer the keys and values of
 * a step are written before any of its queries reads, and a later step comes to that layer later, on every pipeline stage.
 *
 * <p>Ask, then do. Mutable; confined to the source rank's thread.
 */
final class BlockManager {
    private final int blockSize;
    private final @Nullable PrefixIndex index; // null where nothing is shared
    private final int[] references;
    // blocks without an owner, a ring around the place after the last block: in front those that hold nothing
    // known, most recently given back first, for their memory is warm; then the others, least recently given
    // back first
    private final int[] next;
    private final int[] previous;
    private final int ends;
    private int available;

    /**
     * All blocks free.
     *
     * @param blocks in the cache, at least 1
     * @param blockSize tokens in a block, at least 1
     * @param shares whether sequences may have a block in common
     */
    BlockManager(int blocks, int blockSize, boolean shares) {
        if (blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a cache of " + blocks + " blocks of " + blockSize + " tokens");
        }
        this.blockSize = blockSize;
        this.index = shares ? new PrefixIndex(blocks, blockSize) : null;
        this.references = new int[blocks];
        this.next = new int[blocks + 1];
        this.previous = new int[blocks + 1];
        this.ends = blocks;
        for (int i = 0; i <= blocks; i++) {
            next[i] = i == ends ? 0 : i + 1;
            previous[i] = i == 0 ? ends : i - 1;
        }
        this.available = blocks;
    }

    /** Blocks without an owner. */
    int available() {
        return available;
    }

    /** How many sequences have this block. */
    int references(int block) {
        return references[block];
    }

    /**
     * Gives a sequence without blocks those of all its tokens, as many as possible of them computed already; but never that
     * of its last token, whose logits are wanted.
     *
     * @return false, and nothing is changed, where there are not enough
     */
    boolean admit(Sequence sequence) {
        int[] blocks = new int[blocksFor(sequence.size())];
        int shared = 0;
        int idle = 0; // of the shared ones, those without an owner
        if (index != null) {
            long name = PrefixIndex.ROOT;
            int most = (sequence.size() - 1) / blockSize;
            while (shared < most) {
                int block = index.find(name, sequence, shared * blockSize);
                if (block == PrefixIndex.NONE) {
                    break;
                }
                idle += references[block] == 0 ? 1 : 0;
                name = index.name(block);
                blocks[shared++] = block;
            }
        }
        if (blocks.length - shared + idle > available) {
            return false;
        }
        for (int i = 0; i < shared; i++) {
            retain(blocks[i]);
        }
        for (int i = shared; i < blocks.length; i++) {
            blocks[i] = take();
        }
        sequence.start(blocks, shared * blockSize);
        return true;
    }

    /** Whether a sequence has outgrown its blocks by a token. */
    boolean isOutgrown(Sequence sequence) {
        return sequence.size() > sequence.blockCount() * blockSize;
    }

    /**
     * A block of one's own.
     *
     * @throws IllegalStateException if none is available
     */
    int take() {
        int block = next[ends];
        if (block == ends) {
            throw new IllegalStateException("none of " + ends + " blocks is available");
        }
        unlink(block);
        if (index != null) {
            index.remove(block);
        }
        references[block] = 1;
        return block;
    }

    /** Lets others find the blocks of a sequence that became full since {@code before} of its tokens were planned. */
    void note(Sequence sequence, int before) {
        for (int i = before / blockSize; index != null && i < sequence.computed() / blockSize; i++) {
            long parent = i == 0 ? PrefixIndex.ROOT : index.name(sequence.blocks()[i - 1]);
            index.add(sequence.blocks()[i], parent, sequence, i * blockSize);
        }
    }

    /** Takes its blocks from a sequence. */
    void release(Sequence sequence) {
        for (int i = sequence.blockCount() - 1; i >= 0; i--) {
            release(sequence.blocks()[i]);
        }
        sequence.stop();
    }

    private int blocksFor(int tokens) {
        return (tokens + blockSize - 1) / blockSize;
    }

    private void retain(int block) {
        if (references[block]++ == 0) {
            unlink(block);
        }
    }

    private void release(int block) {
        if (references[block] == 0) {
            throw new IllegalStateException("block " + block + " of " + ends + " has no owner");
        }
        if (--references[block] > 0) {
            return;
        }
        available++;
        int after = index != null && index.contains(block) ? previous[ends] : ends;
        next[block] = next[after];
        previous[block] = after;
        previous[next[block]] = block;
        next[after] = block;
    }

    private void unlink(int block) {
        next[previous[block]] = next[block];
        previous[next[block]] = previous[block];
        available--;
    }
}
