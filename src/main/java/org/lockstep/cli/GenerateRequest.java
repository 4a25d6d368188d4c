package org.lockstep.cli;

import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.inference.SamplingParams;
import org.lockstep.tensor.WeightType;
import org.lockstep.topology.ParallelSizes;
import org.lockstep.topology.RankOrder;

/**
 * What {@code lockstep generate} was asked for.
 *
 * @param model a directory, null for the bundled model
 * @param prompts a file, null for the bundled ones
 * @param promptColumn of the prompts
 * @param output a file, null for standard output
 * @param report a file, null for none
 * @param sizes as given: replicas may be left to infer
 * @param ranks the world size, where given
 * @param order of the axes
 * @param params of the sampling
 * @param weightType how the weights are held, null as they are stored
 * @param maxModelLength positions of a row, where given
 * @param maxSequences rows at once, where given
 * @param maxStepLength positions of a step, where given
 * @param blockSize positions of a block of the cache, where given
 * @param prefixCaching whether equal beginnings are computed once, null for the default
 * @param device that ranks compute on
 * @param failures what becomes of the run when something fails
 * @param master of Spark for a run without spark-submit, null for local
 * @param conf of Spark for a run without spark-submit
 * @param verbose whether Spark's log is shown
 */
record GenerateRequest(
        @Nullable String model,
        @Nullable String prompts,
        String promptColumn,
        @Nullable String output,
        @Nullable String report,
        ParallelSizes sizes,
        OptionalInt ranks,
        RankOrder order,
        SamplingParams params,
        @Nullable WeightType weightType,
        OptionalInt maxModelLength,
        OptionalInt maxSequences,
        OptionalInt maxStepLength,
        OptionalInt blockSize,
        @Nullable Boolean prefixCaching,
        DeviceRequest device,
        FailureOptions.FailureRequest failures,
        @Nullable String master,
        Map<String, String> conf,
        boolean verbose) {

    GenerateRequest {
        conf = Map.copyOf(conf);
    }

    SparkRequest spark() {
        return new SparkRequest("lockstep generate", master, worldSize(), conf, verbose);
    }

    /** The ranks that are known before a cluster is asked: the smallest world where nothing says more. */
    int worldSize() {
        int replicas = sizes.dp() == ParallelSizes.INFER ? 1 : sizes.dp();
        return ranks.orElseGet(() -> Math.multiplyExact(Math.multiplyExact(sizes.tp(), sizes.pp()), replicas));
    }
}
