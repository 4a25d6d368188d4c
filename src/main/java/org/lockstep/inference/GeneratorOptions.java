package org.lockstep.inference;

import java.io.Serializable;
import org.lockstep.tensor.DataType;

/**
 * The limits of one replica's steps, the same on all its ranks. Immutable. Names are vLLM's, in words.
 *
 * @param maxModelLength most tokens of a sequence, prompt and output together (max-model-len); at least 2
 * @param maxSequences most sequences that run at once (max-num-seqs); at least 1
 * @param maxTokensPerStep most tokens computed in a step (max-num-batched-tokens), where a longer prompt is computed in
 *     several; one token of every running sequence must fit, so at least {@code maxSequences}
 * @param blockSize tokens in a block of the cache (block-size); at least 1
 * @param cacheBlocks blocks in the cache; at least those of one sequence of {@code maxModelLength}. Where it has fewer than
 *     all running sequences come to want, the latest of them are put off and computed again
 * @param cacheType that keys and values are held in (kv-cache-dtype): f32, on a GPU also bf16 or f16
 * @param enablePrefixCaching whether sequences that begin with the same tokens share the blocks of that beginning, and find
 *     those of sequences that are done (enable-prefix-caching)
 */
public record GeneratorOptions(
        int maxModelLength,
        int maxSequences,
        int maxTokensPerStep,
        int blockSize,
        int cacheBlocks,
        DataType cacheType,
        boolean enablePrefixCaching)
        implements Serializable {
    private static final int SEQUENCES = 16;
    private static final int STEP = 2048;
    private static final int BLOCK = 16;

    public GeneratorOptions {
        require(maxModelLength >= 2, "maxModelLength", maxModelLength, 2);
        require(maxSequences >= 1, "maxSequences", maxSequences, 1);
        require(maxTokensPerStep >= maxSequences, "maxTokensPerStep", maxTokensPerStep, maxSequences);
        require(blockSize >= 1, "blockSize", blockSize, 1);
        int blocks = blocksFor(maxModelLength, blockSize);
        require(cacheBlocks >= blocks, "cacheBlocks", cacheBlocks, blocks);
    }

    private static void require(boolean holds, String name, int value, int least) {
        if (!holds) {
            throw new IllegalArgumentException(name + " (" + value + ") is less than " + least);
        }
    }

    /** 16 sequences of this length, steps of 2048 tokens, blocks of 16, room for all sequences, shared prefixes. */
    public static GeneratorOptions of(int maxModelLength) {
        int blocks = blocksFor(Math.max(maxModelLength, 2), BLOCK);
        return new GeneratorOptions(
                maxModelLength, SEQUENCES, STEP, BLOCK, Math.multiplyExact(SEQUENCES, blocks), DataType.F32, true);
    }

    /** Another number of sequences, with room for all of them. */
    public GeneratorOptions withMaxSequences(int value) {
        int blocks = Math.multiplyExact(Math.max(value, 1), blocksPerSequence());
        return new GeneratorOptions(
                maxModelLength,
                value,
                Math.max(maxTokensPerStep, value),
                blockSize,
                blocks,
                cacheType,
                enablePrefixCaching);
    }

    public GeneratorOptions withMaxTokensPerStep(int value) {
        return new GeneratorOptions(
                maxModelLength, maxSequences, value, blockSize, cacheBlocks, cacheType, enablePrefixCaching);
    }

    /** Another size of block, with room for all sequences. */
    public GeneratorOptions withBlockSize(int value) {
        int blocks = Math.multiplyExact(maxSequences, blocksFor(maxModelLength, Math.max(value, 1)));
        return new GeneratorOptions(
                maxModelLength, maxSequences, maxTokensPerStep, value, blocks, cacheType, enablePrefixCaching);
    }

    public GeneratorOptions withCacheBlocks(int value) {
        return new GeneratorOptions(
                maxModelLength, maxSequences, maxTokensPerStep, blockSize, value, cacheType, enablePrefixCaching);
    }

    public GeneratorOptions withCacheType(DataType value) {
        return new GeneratorOptions(
                maxModelLength, maxSequences, maxTokensPerStep, blockSize, cacheBlocks, value, enablePrefixCaching);
    }

    public GeneratorOptions withEnablePrefixCaching(boolean value) {
        return new GeneratorOptions(
                maxModelLength, maxSequences, maxTokensPerStep, blockSize, cacheBlocks, cacheType, value);
    }

    /** Half as many sequences, tokens in a step and blocks of cache, so many times, as far as one sequence allows. */
    public GeneratorOptions halved(int times) {
        int sequences = Math.max(1, maxSequences >> times);
        return new GeneratorOptions(
                maxModelLength,
                sequences,
                Math.max(sequences, maxTokensPerStep >> times),
                blockSize,
                Math.max(blocksPerSequence(), cacheBlocks >> times),
                cacheType,
                enablePrefixCaching);
    }

    /** Blocks of a sequence of the greatest length. */
    public int blocksPerSequence() {
        return blocksFor(maxModelLength, blockSize);
    }

    /** Tokens that the cache holds, of all sequences together. */
    public long cacheTokens() {
        return (long) cacheBlocks * blockSize;
    }

    /** Blocks that hold so many tokens. */
    int blocksFor(int tokens) {
        return blocksFor(tokens, blockSize);
    }

    private static int blocksFor(int tokens, int blockSize) {
        return (int) (((long) tokens + blockSize - 1) / blockSize);
    }
}
