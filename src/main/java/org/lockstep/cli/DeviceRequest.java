package org.lockstep.cli;

import org.jspecify.annotations.Nullable;
import org.lockstep.spark.DeviceChoice;
import org.lockstep.spark.Llm;

/**
 * What a command was asked to compute on; null is left to the configuration.
 *
 * @param choice of the kind of device
 * @param memoryUtilization part of a GPU's memory that its ranks take
 */
record DeviceRequest(
        @Nullable DeviceChoice choice, @Nullable Double memoryUtilization) {
    static final DeviceRequest NONE = new DeviceRequest(null, null);

    Llm applyTo(Llm llm) {
        Llm chosen = choice == null ? llm : llm.device(choice);
        return memoryUtilization == null ? chosen : chosen.gpuMemoryUtilization(memoryUtilization);
    }
}
