package org.lockstep.cli;

import org.jspecify.annotations.Nullable;
import org.lockstep.spark.Llm;
import org.lockstep.spark.settings.DeviceChoice;

/**
 * What a command was asked to compute on; null is left to the configuration.
 *
 * @param choice of the kind of device
 * @param memoryUtilization part of a GPU's memory that its ranks take
 * @param enforceEager whether no step is replayed as a CUDA graph
 */
record DeviceRequest(
        @Nullable DeviceChoice choice, @Nullable Double memoryUtilization, boolean enforceEager) {
    Llm applyTo(Llm llm) {
        Llm chosen = choice == null ? llm : llm.device(choice);
        chosen = enforceEager ? chosen.enforceEager(true) : chosen;
        return memoryUtilization == null ? chosen : chosen.gpuMemoryUtilization(memoryUtilization);
    }
}
