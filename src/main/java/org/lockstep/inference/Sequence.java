package org.lockstep.inference;

import java.util.Arrays;

/**
 * One request on its way: its tokens so far, how many of them are computed, and the cache blocks that hold them.
 *
 * <p>Every rank of a replica holds an equal one; the source rank's scheduler holds its own, which it is ahead with while a
 * step is on its way. Mutable; confined to its rank's thread.
 */
final class Sequence {
    private static final int[] NO_BLOCKS = {};

    private final long id;
    private final SamplingParams params;
    private final int promptTokens;
    private final int[] tokens;
    private int size;
    private int[] blocks = NO_BLOCKS;
    private int blockCount;
    private int computed;

    /**
     * Knows some tokens, nothing of them computed, and has no blocks.
     *
     * @param known the prompt, and what of the output is known already
     * @param promptTokens how many of {@code known} are prompt; at least 1
     * @param limit most tokens it will ever have, prompt included; more than {@code known} has
     */
    Sequence(long id, int[] known, int promptTokens, SamplingParams params, int limit) {
        if (promptTokens < 1 || promptTokens > known.length || known.length >= limit) {
            throw new IllegalArgumentException("request " + id + " has a prompt of " + promptTokens + " tokens of "
                    + known.length + ", which is not in 1.." + (limit - 1));
        }
        this.id = id;
        this.params = params;
        this.promptTokens = promptTokens;
        this.tokens = Arrays.copyOf(known, limit);
        this.size = known.length;
    }

    long id() {
        return id;
    }

    SamplingParams params() {
        return params;
    }

    /** Blocks of the cache by position, {@link #blockCount} many; what follows in the array means nothing. */
    int[] blocks() {
        return blocks;
    }

    int blockCount() {
        return blockCount;
    }

    /** Tokens known: prompt and output. */
    int size() {
        return size;
    }

    int promptTokens() {
        return promptTokens;
    }

    int outputTokens() {
        return size - promptTokens;
    }

    /** Most tokens it will ever have. */
    int limit() {
        return tokens.length;
    }

    /** Tokens whose keys and values are in the cache, or will be by the steps on their way; the next goes on from here. */
    int computed() {
        return computed;
    }

    /** Tokens known and not computed. */
    int remaining() {
        return size - computed;
    }

    int token(int position) {
        return tokens[position];
    }

    boolean isFull() {
        return size == tokens.length;
    }

    /** A fresh copy of all tokens known. */
    int[] known() {
        return Arrays.copyOf(tokens, size);
    }

    /** A fresh copy of the output. */
    int[] output() {
        return Arrays.copyOfRange(tokens, promptTokens, size);
    }

    /**
     * Begins to run.
     *
     * @param first its first blocks; copied by need
     * @param computed how many tokens they hold already
     */
    void start(int[] first, int computed) {
        this.blocks = first;
        this.blockCount = first.length;
        this.computed = computed;
    }

    /** Has its blocks no more, and must be computed again. */
    void stop() {
        start(NO_BLOCKS, 0);
    }

    /** Goes on in another block when those it has are full. */
    void addBlock(int block) {
        if (blockCount == blocks.length) {
            blocks = Arrays.copyOf(blocks, blockCount + Math.max(4, blockCount / 2));
        }
        blocks[blockCount++] = block;
    }

    /** Copies the next {@code count} tokens to compute. */
    void copyNext(int count, int[] to, int at) {
        if (count < 1 || computed + count > size) {
            throw new IllegalStateException("a step of " + count + " tokens from " + computed + " on of " + size
                    + " known ones, request " + id);
        }
        System.arraycopy(tokens, computed, to, at, count);
    }

    /** Notes that the next {@code count} tokens are in the cache, or on their way there. */
    void advance(int count) {
        computed += count;
    }

    void append(int token) {
        tokens[size++] = token;
    }
}
