package org.lockstep.spark;

import java.util.OptionalInt;
import org.apache.spark.SparkConf;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.model.ModelConfig;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ParallelSizes;

/**
 * What a user set of a replica's limits; what is empty is left to the configuration, then to the default.
 *
 * @param maxModelLength prompt and completion of a row together
 * @param maxSequences rows generated together
 * @param maxStepLength positions computed in one step
 */
record LlmLimits(OptionalInt maxModelLength, OptionalInt maxSequences, OptionalInt maxStepLength) {
    private static final int MOST_SEQUENCES = 4096;
    private static final long MOST_POSITIONS = 1 << 24; // positions in a cache

    static final LlmLimits NONE = new LlmLimits(OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty());

    /**
     * The limits in numbers. A row may be as long as the model allows where the user says so; else no longer than the
     * cache's memory allows as it is.
     *
     * @throws LockstepException USAGE or NOT_ENOUGH_MEMORY if the model or the cache's memory does not allow them
     */
    GeneratorOptions resolve(SparkConf conf, ModelConfig config, ParallelSizes sizes) {
        int sequences = positive("max-num-seqs", maxSequences.orElse(Settings.MAX_SEQUENCES.in(conf)), MOST_SEQUENCES);
        int step = positive(
                "max-num-batched-tokens", maxStepLength.orElse(Settings.MAX_STEP_LENGTH.in(conf)), Integer.MAX_VALUE);
        int blockSize = positive("cache block size", Settings.CACHE_BLOCK_SIZE.in(conf), 1 << 16);
        long memory = Settings.CACHE_MEMORY.in(conf);
        long perBlock = bytesPerBlock(config, sizes, blockSize);
        long affordable = Math.min(memory / perBlock, MOST_POSITIONS / blockSize);
        int length = maxModelLength.orElse((int) Math.min(config.maxPositions(), Math.max(2, affordable * blockSize)));
        if (length < 2 || length > config.maxPositions()) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "max model length (" + length + ") is not in 2.." + config.maxPositions()
                                    + ", the model's max_position_embeddings")
                    .attempt("--max-model-len " + config.maxPositions())
                    .exception();
        }
        int perSequence = (length + blockSize - 1) / blockSize;
        if (affordable < perSequence) {
            throw LockstepException.report(
                            ErrorCode.NOT_ENOUGH_MEMORY,
                            "a key/value cache of " + memory + " bytes holds " + affordable * blockSize
                                    + " positions, one row of " + length + " needs " + perSequence * perBlock
                                    + " bytes")
                    .attempt("--conf " + Settings.CACHE_MEMORY.key() + "=" + (perSequence * perBlock / (1 << 20) + 1)
                            + "m, or a smaller --max-model-len")
                    .exception();
        }
        int blocks = (int) Math.min(affordable, (long) perSequence * sequences);
        return new GeneratorOptions(length, sequences, Math.max(step, sequences), blockSize, blocks, true);
    }

    private static int positive(String name, int value, int most) {
        if (value < 1 || value > most) {
            throw LockstepException.report(ErrorCode.USAGE, name + " (" + value + ") is not in 1.." + most)
                    .exception();
        }
        return value;
    }

    /** Counted for the stage with the most layers: all ranks have the same blocks, since one of them decides for all. */
    private static long bytesPerBlock(ModelConfig config, ParallelSizes sizes, int blockSize) {
        int layers = (config.layers() + sizes.pp() - 1) / sizes.pp();
        int heads = Math.max(1, config.keyValueHeads() / sizes.tp());
        return 2L * layers * blockSize * heads * config.headSize() * DataType.F32.bytes();
    }
}
