package org.lockstep.cli;

import org.jspecify.annotations.Nullable;
import org.lockstep.spark.settings.DeviceChoice;
import picocli.CommandLine.Option;

/** What ranks compute on and how, under vLLM's names. */
@OptionGroup("Engine")
final class DeviceOptions {
    @Option(
            names = "--device",
            paramLabel = "KIND",
            description =
                    "cpu, cuda, or auto: GPUs where there are some, of this machine under a local master, on a cluster"
                            + " where Spark gives them to tasks. Ranks of a local master share the GPUs in turn (default: auto).")
    private @Nullable DeviceChoice device;

    @Option(
            names = "--gpu-memory-utilization",
            paramLabel = "X",
            description =
                    "Part of a GPU's memory that its ranks take at most, for weights, cache and steps (default: 0.9).")
    private @Nullable Double memoryUtilization;

    @Option(
            names = "--enforce-eager",
            description =
                    "On GPUs launch the kernels of each step one by one; else steps that only decode are replayed as CUDA"
                            + " graphs, but for tensor groups that do not exchange by NCCL.")
    private boolean enforceEager;

    /** @throws IllegalArgumentException for a part out of range */
    DeviceRequest request() {
        if (memoryUtilization != null && !(memoryUtilization > 0 && memoryUtilization <= 1)) {
            throw new IllegalArgumentException("gpu memory utilization (" + memoryUtilization + ") is not in (0, 1]");
        }
        return new DeviceRequest(device, memoryUtilization, enforceEager);
    }
}
