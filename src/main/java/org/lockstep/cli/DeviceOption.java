package org.lockstep.cli;

import org.jspecify.annotations.Nullable;
import org.lockstep.spark.settings.DeviceChoice;
import picocli.CommandLine.Option;

/** What ranks compute on. */
final class DeviceOption {
    @Option(
            names = "--device",
            paramLabel = "KIND",
            description =
                    "cpu, cuda, or auto: GPUs where there are some, of this machine under a local master, on a cluster"
                            + " where Spark gives them to tasks. Ranks of a local master share the GPUs in turn (default: auto).")
    private @Nullable DeviceChoice device;

    /** Null where none was given. */
    @Nullable
    DeviceChoice device() {
        return device;
    }
}
