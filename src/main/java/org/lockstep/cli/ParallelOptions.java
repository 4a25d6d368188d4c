package org.lockstep.cli;

import org.jspecify.annotations.Nullable;
import org.lockstep.topology.ParallelSizes;
import picocli.CommandLine.Option;

/** Into what sizes a replica's ranks are split, under vLLM's names; a command that takes several of each has the same words. */
@OptionGroup("Model and ranks")
final class ParallelOptions {
    static final String TENSOR = "Ranks that share each layer (default: 1).";
    static final String PIPELINE = "Stages that the layers are cut into (default: 1).";

    @Option(
            names = {"--tensor-parallel-size", "-tp"},
            paramLabel = "N",
            description = TENSOR)
    private @Nullable Integer tensor;

    @Option(
            names = {"--pipeline-parallel-size", "-pp"},
            paramLabel = "N",
            description = PIPELINE)
    private @Nullable Integer pipeline;

    @Option(
            names = {"--virtual-pipeline-parallel-size", "-vpp"},
            paramLabel = "N",
            description = "Chunks of layers on each pipeline stage (default: 1).")
    private @Nullable Integer virtualPipeline;

    /** Whether a size was given that says how many ranks a replica has. */
    boolean isGiven() {
        return tensor != null || pipeline != null;
    }

    /** As given, out of range too. */
    int tensor() {
        return tensor == null ? 1 : tensor;
    }

    /** As given, out of range too. */
    int pipeline() {
        return pipeline == null ? 1 : pipeline;
    }

    /** As given, out of range too. */
    @Nullable
    Integer virtualPipeline() {
        return virtualPipeline;
    }

    /**
     * For a launch, with as many replicas as there is room for.
     *
     * @param otherwise tensor and pipeline sizes that are not given
     * @throws IllegalArgumentException for a size below 1
     */
    ParallelSizes sizes(int otherwise) {
        return ParallelSizes.tensor(positive("tensor", tensor, otherwise))
                .withPipeline(positive("pipeline", pipeline, otherwise))
                .withVirtualPipeline(virtualPipeline == null ? null : positive("virtual pipeline", virtualPipeline, 1))
                .withData(ParallelSizes.INFER);
    }

    private static int positive(String name, @Nullable Integer given, int otherwise) {
        int size = given == null ? otherwise : given;
        if (size < 1) {
            throw new IllegalArgumentException(name + " size (" + size + ") must be at least 1");
        }
        return size;
    }
}
