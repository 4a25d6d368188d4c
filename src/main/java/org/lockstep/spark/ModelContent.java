package org.lockstep.spark;

import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.inference.Tokenizer;

/**
 * What tells a model from another of the same shape, so that no run goes on with the texts of another. Immutable.
 *
 * @param weights a digest of samples of all tensors
 * @param tokenizer a digest of its file
 */
record ModelContent(String weights, String tokenizer) {
    /** Reads a little of each tensor, and the tokenizer's file. */
    static ModelContent of(ModelFiles files) {
        try (Checkpoint checkpoint = Checkpoint.open(files)) {
            return new ModelContent(checkpoint.fingerprint(), Tokenizer.fingerprint(files));
        }
    }
}
