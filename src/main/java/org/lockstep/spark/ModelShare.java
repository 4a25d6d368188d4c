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
     * @throws LockstepException MODEL_TOO_LARGE if heap or device memory ends; nothing is left of what was loaded
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
            } catch (RuntimeException | Error failure) {
                tokenizer.close();
                throw failure;
            }
        } catch (
                OutOfMemoryError
                        e) { // not its cause: Spark would end the executor for it, and what was loaded is given back
            throw tooLarge(need, rank, String.valueOf(e.getMessage())).exception();
        } catch (LockstepException e) {
            throw e.code() == ErrorCode.OUT_OF_MEMORY
                    ? tooLarge(need, rank, e.summary()).cause(e).exception()
                    : e;
        }
    }

    private static LockstepException.Report tooLarge(RankMemory need, Rank rank, String why) {
        return LockstepException.report(
                        ErrorCode.MODEL_TOO_LARGE,
                        String.format(
                                Locale.ROOT,
                                "rank %d's share of the model is more than there is memory for: weights and cache of a rank"
                                        + " need %,d MiB, the heap is %,d MiB (%s)",
                                rank.state().rank(),
                                (need.weights() + need.cache()) >> 20,
                                Runtime.getRuntime().maxMemory() >> 20,
                                why))
                .attempt("more memory for the executors or the driver of a local master, or a smaller share a rank");
    }

    @Override
    public void close() {
        try (tokenizer) {
            generator.close();
        }
    }
}
