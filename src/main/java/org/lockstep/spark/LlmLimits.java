package org.lockstep.spark;

import java.util.Optional;
import java.util.OptionalInt;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.RankMemory;
import org.lockstep.spark.settings.Settings;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ParallelSizes;

/**
 * What a user set of a replica's limits; what is empty is left to the configuration, then to the default.
 *
 * @param maxModelLength prompt and completion of a row together
 * @param maxSequences rows generated together
 * @param maxStepLength positions computed in one step
 * @param blockSize positions in a block of the cache
 * @param prefixCaching whether rows share the blocks of equal beginnings
 */
record LlmLimits(
        OptionalInt maxModelLength,
        OptionalInt maxSequences,
        OptionalInt maxStepLength,
        OptionalInt blockSize,
        Optional<Boolean> prefixCaching) {
    private static final int MOST_SEQUENCES = 4096;
    private static final long MOST_POSITIONS = 1 << 24; // positions in a cache

    static final LlmLimits NONE = new LlmLimits(
            OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), Optional.empty());

    LlmLimits withMaxModelLength(int positions) {
        return new LlmLimits(OptionalInt.of(positions), maxSequences, maxStepLength, blockSize, prefixCaching);
    }

    LlmLimits withMaxSequences(int rows) {
        return new LlmLimits(maxModelLength, OptionalInt.of(rows), maxStepLength, blockSize, prefixCaching);
    }

    LlmLimits withMaxStepLength(int positions) {
        return new LlmLimits(maxModelLength, maxSequences, OptionalInt.of(positions), blockSize, prefixCaching);
    }

    LlmLimits withBlockSize(int positions) {
        return new LlmLimits(maxModelLength, maxSequences, maxStepLength, OptionalInt.of(positions), prefixCaching);
    }

    LlmLimits withPrefixCaching(boolean on) {
        return new LlmLimits(maxModelLength, maxSequences, maxStepLength, blockSize, Optional.of(on));
    }

    /**
     * The limits in numbers. A row may be as long as the model allows where the user says so; else no longer than the
     * cache's memory allows as it is.
     *
     * @param cacheType that keys and values are held in
     * @param memory bytes of a rank's cache at most
     * @param mostElements of a layer's keys, or values, which are one buffer
     * @throws LockstepException USAGE or NOT_ENOUGH_MEMORY if the model or the cache's memory does not allow them
     */
    GeneratorOptions resolve(
            SparkConf conf,
            ModelConfig config,
            ParallelSizes sizes,
            DataType cacheType,
            long memory,
            long mostElements) {
        StepSize steps = steps(conf);
        int sequences = steps.sequences;
        int block = positive("block-size", blockSize.orElse(Settings.CACHE_BLOCK_SIZE.in(conf)), 1 << 16);
        long perBlock = bytesPerBlock(config, sizes, block, cacheType);
        long held = mostElements / elementsPerBlock(config, sizes, block);
        long affordable = Math.min(memory / perBlock, Math.min(MOST_POSITIONS / block, held));
        int length = maxModelLength.orElse((int) Math.min(config.maxPositions(), Math.max(2, affordable * block)));
        if (length < 2 || length > config.maxPositions()) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "max model length (" + length + ") is not in 2.." + config.maxPositions()
                                    + ", the model's max_position_embeddings")
                    .attempt("--max-model-len " + config.maxPositions())
                    .exception();
        }
        int perSequence = (length + block - 1) / block;
        if (held < perSequence) {
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_MEMORY,
                            "a layer's keys of one row of " + length + " positions, in blocks of " + block
                                    + ", are more than the " + mostElements
                                    + " elements that an array of the heap holds")
                    .attempt("a smaller --max-model-len, more tensor ranks, or --device cuda")
                    .exception();
        }
        if (affordable < perSequence) {
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_MEMORY,
                            "a key/value cache of " + memory + " bytes holds " + affordable * block
                                    + " positions, one row of " + length + " needs " + perSequence * perBlock
                                    + " bytes")
                    .attempt("--conf " + Settings.CACHE_MEMORY.key() + "=" + (perSequence * perBlock / (1 << 20) + 1)
                            + "m, or a smaller --max-model-len")
                    .exception();
        }
        boolean prefixes = prefixCaching.orElse(Settings.CACHE_PREFIXES.in(conf));
        int blocks = (int) Math.min(affordable, (long) perSequence * sequences);
        return new GeneratorOptions(length, sequences, steps.tokens, block, blocks, cacheType, prefixes);
    }

    /** A step has a token of each of its sequences at least. */
    private record StepSize(int sequences, int tokens) {}

    /** Where one of the two is said, the other's default gives way. */
    private StepSize steps(SparkConf conf) {
        int sequences = positive("max-num-seqs", maxSequences.orElse(Settings.MAX_SEQUENCES.in(conf)), MOST_SEQUENCES);
        int tokens = positive(
                "max-num-batched-tokens", maxStepLength.orElse(Settings.MAX_STEP_LENGTH.in(conf)), Integer.MAX_VALUE);
        if (tokens >= sequences) {
            return new StepSize(sequences, tokens);
        }
        if (maxStepLength.isEmpty() && !conf.contains(Settings.MAX_STEP_LENGTH.key())) {
            return new StepSize(sequences, sequences);
        }
        if (maxSequences.isEmpty() && !conf.contains(Settings.MAX_SEQUENCES.key())) {
            return new StepSize(tokens, tokens);
        }
        throw LockstepException.report(
                        ErrorCode.USAGE,
                        "max-num-batched-tokens (" + tokens + ") is less than max-num-seqs (" + sequences
                                + "): a step computes a token of each of its rows at least")
                .attempt("--max-num-batched-tokens " + sequences + ", or --max-num-seqs " + tokens)
                .exception();
    }

    private static int positive(String name, int value, int most) {
        if (value < 1 || value > most) {
            throw LockstepException.report(ErrorCode.USAGE, name + " (" + value + ") is not in 1.." + most)
                    .exception();
        }
        return value;
    }

    /** Counted for the stage with the most layers: all ranks have the same blocks, since one of them decides for all. */
    static long bytesPerBlock(ModelConfig config, ParallelSizes sizes, int blockSize, DataType type) {
        return 2L * RankMemory.mostLayers(config, sizes) * elementsPerBlock(config, sizes, blockSize) * type.bytes();
    }

    /** Of a layer's keys. */
    private static long elementsPerBlock(ModelConfig config, ParallelSizes sizes, int blockSize) {
        long heads = Math.max(1, config.keyValueHeads() / sizes.tp());
        return blockSize * heads * config.headSize();
    }
}
