package org.lockstep.cli;

import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.topology.ParallelSizes;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which model on how many ranks: what a launch and a look at what it would need have in common. */
final class LaunchOptions {
    @Option(
            names = "--model",
            paramLabel = "DIR",
            description = "Hugging Face directory that the driver and all executors see under this path. Default: the"
                    + " bundled model fable, which tells stories.")
    private @Nullable String model;

    @Mixin
    private final ParallelOptions sizes = new ParallelOptions();

    @Option(names = "--ranks", paramLabel = "N", description = "World size, where the replicas are not given.")
    private @Nullable Integer ranks;

    /** A directory, null for the bundled model. */
    @Nullable
    String model() {
        return model;
    }

    /** Whether nothing says how many ranks there are. */
    boolean isUnsized() {
        return !sizes.isGiven() && ranks == null;
    }

    OptionalInt ranks() {
        return ranks == null ? OptionalInt.empty() : OptionalInt.of(ranks);
    }

    /** As {@link ParallelOptions#sizes}. */
    ParallelSizes sizes(int otherwise) {
        return sizes.sizes(otherwise);
    }
}
