package org.lockstep.inference;

import java.util.Arrays;

/**
 * One request on its way: its tokens so far, how many of them are computed, and the cache blocks that hold them.
 *
 * <p>Every rank of a replica holds an equal one. Mutable; confined to its rank's thread.
 */
final class Sequence {
    private final long id;
    private final SamplingParams params;
    private final int[] blocks;
    private final int promptTokens;
    private final int[] tokens;
    private int size;
    private int computed;

    /**
     * Starts with the prompt, nothing of it computed.
     *
     * @param limit most tokens it will ever have, prompt included; more than the prompt's
     */
    Sequence(long id, int[] prompt, SamplingParams params, int limit, int[] blocks) {
        if (prompt.length == 0 || prompt.length >= limit) {
            throw new IllegalArgumentException("request " + id + " has a prompt of " + prompt.length
                    + " tokens, which is not in 1.." + (limit - 1));
        }
        this.id = id;
        this.params = params;
        this.blocks = blocks;
        this.promptTokens = prompt.length;
        this.tokens = Arrays.copyOf(prompt, limit);
        this.size = prompt.length;
    }

    long id() {
        return id;
    }

    SamplingParams params() {
        return params;
    }

    int[] blocks() {
        return blocks;
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

    /** Tokens whose keys and values are in the cache; the next step goes on from here. */
    int computed() {
        return computed;
    }

    int token(int position) {
        return tokens[position];
    }

    boolean isFull() {
        return size == tokens.length;
    }

    /** A fresh copy of the output. */
    int[] output() {
        return Arrays.copyOfRange(tokens, promptTokens, size);
    }

    /** Copies the next {@code count} tokens to compute. */
    void copyNext(int count, int[] to, int at) {
        if (count < 1 || computed + count > size) {
            throw new IllegalStateException("a step of " + count + " tokens from " + computed + " on of " + size
                    + " known ones, request " + id);
        }
        System.arraycopy(tokens, computed, to, at, count);
    }

    /** Notes that the next {@code count} tokens are in the cache. */
    void advance(int count) {
        computed += count;
    }

    void append(int token) {
        tokens[size++] = token;
    }
}
