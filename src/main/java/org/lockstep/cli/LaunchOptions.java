package org.lockstep.cli;

import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.topology.ParallelSizes;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which model on how many ranks: what a launch and a look at what it would need have in common. */
@OptionGroup("Model and ranks")
final class LaunchOptions {
    /** Of the bundled model where nothing says how many ranks there are: tensor and pipeline. */
    private static final int BUNDLED_SIZE = 2;

    @Option(
            names = "--model",
            paramLabel = "DIR",
            description = "Hugging Face directory that the driver and all executors see under this path. Default: the"
                    + " bundled model fable, which tells stories, and without a size on tensor 2 × pipeline 2.")
    private @Nullable String model;

    @Mixin
    private final ParallelOptions sizes = new ParallelOptions();

    @Option(
            names = {"--data-parallel-size", "-dp"},
            paramLabel = "N",
            description = "Replicas. Default: as many as --ranks, or else the slots that there are, have room for.")
    private @Nullable Integer data;

    @Option(
            names = "--ranks",
            paramLabel = "N",
            description = "World size, tensor × pipeline × data, where the replicas are not given.")
    private @Nullable Integer ranks;

    @Mixin
    private final OrderOption order = new OrderOption();

    /** A directory, null for the bundled model. */
    @Nullable
    String model() {
        return model;
    }

    /** @throws IllegalArgumentException for what can be no size, order or part */
    LaunchRequest request(EngineOptions engine) {
        boolean sized = sizes.isGiven() || data != null || ranks != null;
        ParallelSizes asked = sizes.sizes(model == null && !sized ? BUNDLED_SIZE : 1)
                .withData(data == null ? ParallelSizes.INFER : data);
        return new LaunchRequest(
                model,
                asked,
                ranks == null ? OptionalInt.empty() : OptionalInt.of(ranks),
                order.order(),
                engine.weightType(),
                engine.limits(),
                engine.device());
    }
}
