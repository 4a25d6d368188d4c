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
 * @param maxStepLength prompt positions in one step
 */
record LlmLimits(OptionalInt maxModelLength, OptionalInt maxSequences, OptionalInt maxStepLength) {
    static final LlmLimits NONE = new LlmLimits(OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty());

    /**
     * The limits in numbers.
     *
     * @throws LockstepException USAGE or OUT_OF_MEMORY if the model or the cache's memory does not allow them
     */
    GeneratorOptions resolve(SparkConf conf, ModelConfig config, ParallelSizes sizes) {
        int length = maxModelLength.orElse(config.maxPositions());
        if (length < 2 || length > config.maxPositions()) {
            throw LockstepException.report(
                            ErrorCode.USAGE,
                            "max model length (" + length + ") is not in 2.." + config.maxPositions()
                                    + ", the model's max_position_embeddings")
                    .attempt("--max-model-len " + config.maxPositions())
                    .exception();
        }
        int sequences = maxSequences.orElse(Settings.MAX_SEQUENCES.in(conf));
        int step = maxStepLength.orElse(Settings.MAX_STEP_LENGTH.in(conf));
        int blockSize = Settings.CACHE_BLOCK_SIZE.in(conf);
        return new GeneratorOptions(
                length,
                sequences,
                Math.max(step, Math.max(length, sequences)),
                blockSize,
                cacheBlocks(conf, config, sizes, length, sequences, blockSize));
    }

    /**
     * As many blocks as the memory allows and the sequences could use, at least one whole sequence's. Counted for the
     * stage with the most layers: all ranks have the same blocks, since one of them decides for all.
     */
    private static int cacheBlocks(
            SparkConf conf, ModelConfig config, ParallelSizes sizes, int length, int sequences, int blockSize) {
        long memory = Settings.CACHE_MEMORY.in(conf);
        int perSequence = (length + blockSize - 1) / blockSize;
        int layers = (config.layers() + sizes.pp() - 1) / sizes.pp();
        int heads = Math.max(1, config.keyValueHeads() / sizes.tp());
        long perBlock = 2L * layers * blockSize * heads * config.headSize() * DataType.F32.bytes();
        long affordable = memory / perBlock;
        if (affordable < perSequence) {
            throw LockstepException.report(
                            ErrorCode.OUT_OF_MEMORY,
                            "a key/value cache of " + memory + " bytes holds " + affordable * blockSize
                                    + " positions, one row of " + length + " needs " + perSequence * perBlock
                                    + " bytes")
                    .attempt("--conf " + Settings.CACHE_MEMORY.key() + "=" + (perSequence * perBlock / (1 << 20) + 1)
                            + "m, or a smaller --max-model-len")
                    .exception();
        }
        return (int) Math.min(affordable, (long) perSequence * sequences);
    }
}
