package org.lockstep.cli;

import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.inference.SamplingParams;

/**
 * What {@code lockstep generate} was asked for.
 *
 * @param launch the model and its machine
 * @param prompts a file, null for the bundled ones
 * @param promptColumn of the prompts
 * @param samplingColumn of rows' own sampling parameters, null for none
 * @param output a file, null for standard output
 * @param report a file, null for none
 * @param params of the sampling
 * @param failures what becomes of the run when something fails
 * @param master of Spark for a run without spark-submit, null for local
 * @param conf of Spark for a run without spark-submit
 * @param verbose whether Spark's log is shown
 */
record GenerateRequest(
        LaunchRequest launch,
        @Nullable String prompts,
        String promptColumn,
        @Nullable String samplingColumn,
        @Nullable String output,
        @Nullable String report,
        SamplingParams params,
        FailureOptions.FailureRequest failures,
        @Nullable String master,
        Map<String, String> conf,
        boolean verbose) {

    GenerateRequest {
        conf = Map.copyOf(conf);
    }

    SparkRequest spark() {
        return new SparkRequest("lockstep generate", master, launch.worldSize(), conf, verbose);
    }
}
