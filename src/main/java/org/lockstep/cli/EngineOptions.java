package org.lockstep.cli;

import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.WeightType;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How a replica holds its weights and rows, and on what: what decides whether it fits, under vLLM's names. */
@OptionGroup("Engine")
final class EngineOptions {
    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            description =
                    "Type that the weights are held in: auto (as stored), float32, bfloat16, float16, or q8: 8 bits, in"
                            + " blocks of 32 with a scale (default: auto). They are converted as they are read.")
    private Dtype dtype = Dtype.AUTO;

    @Option(
            names = "--max-model-len",
            paramLabel = "N",
            description = "Positions of a prompt and its completion together. Default: the model's own limit, or what"
                    + " the memory of the cache holds where that is less.")
    private @Nullable Integer maxModelLength;

    @Option(
            names = "--max-num-seqs",
            paramLabel = "N",
            description = "Rows that a replica generates together at most (default: 32).")
    private @Nullable Integer maxSequences;

    @Option(
            names = "--max-num-batched-tokens",
            paramLabel = "N",
            description = "Positions that a step of a replica computes at most, over all its rows (default: 2048).")
    private @Nullable Integer maxStepLength;

    @Option(
            names = "--block-size",
            paramLabel = "N",
            description = "Positions in a block of the key/value cache (default: 16).")
    private @Nullable Integer blockSize;

    @Option(
            names = "--enable-prefix-caching",
            negatable = true,
            description = "Compute the beginning that prompts have in common once (on by default), or not.")
    private @Nullable Boolean prefixCaching;

    @Mixin
    private final DeviceOptions device = new DeviceOptions();

    /** Null for weights as they are stored. */
    @Nullable
    WeightType weightType() {
        return dtype.weightType();
    }

    LaunchRequest.Limits limits() {
        return new LaunchRequest.Limits(
                optional(maxModelLength),
                optional(maxSequences),
                optional(maxStepLength),
                optional(blockSize),
                prefixCaching);
    }

    /** @throws IllegalArgumentException for a value out of range */
    DeviceRequest device() {
        return device.request();
    }

    private static OptionalInt optional(@Nullable Integer value) {
        return value == null ? OptionalInt.empty() : OptionalInt.of(value);
    }
}
