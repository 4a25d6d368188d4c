package org.lockstep.spark;

import org.lockstep.checkpoint.ModelFiles;
import org.lockstep.model.StoredWeights;
import org.lockstep.spark.gang.Residence;
import org.lockstep.spark.preflight.LaunchLook;

/**
 * What {@code Llm.load} found, the same for all descriptions that come from it.
 *
 * @param source where the files are
 * @param stored what they hold
 * @param content what tells them from others that hold as much
 * @param look what executors see of them
 * @param residence what of them stays in the executors
 */
record FoundModel(
        ModelSource source, StoredWeights stored, ModelContent content, LaunchLook look, Residence residence) {
    static FoundModel of(ModelSource source, ModelFiles files, StoredWeights stored, Residence residence) {
        LaunchLook look = new LaunchLook(source.folder().orElse(null));
        return new FoundModel(source, stored, ModelContent.of(files), look, residence);
    }
}
