package org.lockstep.spark;

import java.util.Locale;
import java.util.function.LongConsumer;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.inference.Generator;
import org.lockstep.inference.GeneratorOptions;
import org.lockstep.inference.Tokenizer;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.RankMemory;
import org.lockstep.spark.failure.AttemptFailure;
import org.lockstep.spark.gang.Rank;

/**
 * A rank's share of a model, ready to generate. Confined to its rank's thread.
 *
 * @param generator over the weights of this rank, and its cache
 */
record ModelShare(Tokenizer tokenizer, Generator generator) implements AutoCloseable {

    /**
     * Reads the tokenizer and this rank's part of the weights.
     *
     * @param need of the fullest rank, for what is said where it is more than there is
     * @param onRead hears of the bytes of weights as they are read
     */
    static ModelShare load(
            ModelSource source,
            ModelConfig config,
            GeneratorOptions options,
            RankMemory need,
            Rank rank,
            LongConsumer onRead) {
        try (ModelFiles files = source.open()) {
            Tokenizer tokenizer = Tokenizer.load(files, config.vocabularySize());
            try (Checkpoint checkpoint = Checkpoint.open(files, onRead)) {
                return new ModelShare(
                        tokenizer,
                        Generator.load(
                                config,
                                checkpoint,
                                rank.state(),
                                rank.communicators(),
                                rank.kernels(),
                                tokenizer,
                                options));
            } catch (OutOfMemoryError e) {
                tokenizer.close();
                // Without the error as its cause, for which Spark would end the executor: what was loaded is given
                // back.
                throw LockstepException.report(
                                ErrorCode.OUT_OF_MEMORY,
                                String.format(
                                        Locale.ROOT,
                                        "%s rank %d's share of the model took more than the %,d MiB of heap: weights"
                                                + " and cache of a rank need %,d MiB (%s)",
                                        AttemptFailure.LOADING,
                                        rank.state().rank(),
                                        Runtime.getRuntime().maxMemory() >> 20,
                                        (need.weights() + need.cache()) >> 20,
                                        e.getMessage()))
                        .attempt(
                                "more memory for the executors or the driver of a local master, or a smaller share a rank")
                        .exception();
            } catch (RuntimeException | Error failure) {
                tokenizer.close();
                throw failure;
            }
        }
    }

    @Override
    public void close() {
        try (tokenizer) {
            generator.close();
        }
    }
}
