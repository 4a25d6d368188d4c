package org.lockstep.spark;

import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.inference.Tokenizer;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.ModelTensors;
import org.lockstep.model.StoredWeights;

/** Whether a model's files are what its settings say, with or without Spark. */
public final class ModelCheck {
    private ModelCheck() {}

    /**
     * Reads the headers of the weights and the tokenizer, and no weight.
     *
     * @return what the files hold
     * @throws org.lockstep.LockstepException CHECKPOINT_INVALID or TOKENIZER_INVALID
     */
    public static StoredWeights of(ModelFiles files, ModelConfig config) {
        StoredWeights stored;
        try (Checkpoint checkpoint = Checkpoint.open(files)) {
            stored = ModelTensors.check(config, checkpoint);
        }
        Tokenizer.load(files, config.vocabularySize()).close();
        return stored;
    }
}
