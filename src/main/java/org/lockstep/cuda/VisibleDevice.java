package org.lockstep.cuda;

import java.util.Locale;
import org.lockstep.collective.Identity;

/**
 * A device as this process sees it. Immutable.
 *
 * @param ordinal the driver's number for it, from 0, after {@code CUDA_VISIBLE_DEVICES}
 * @param name of its make
 * @param gpu its identity, which is the same in every process
 * @param bytes of memory
 * @param capability compute capability, such as 9.0
 */
public record VisibleDevice(int ordinal, String name, Identity.Gpu gpu, long bytes, String capability) {
    /** The first number of the compute capability. */
    int major() {
        return Integer.parseInt(capability.substring(0, capability.indexOf('.')));
    }

    /** The second number. */
    int minor() {
        return Integer.parseInt(capability.substring(capability.indexOf('.') + 1));
    }

    /** Whether its tensor cores take bf16: those of Ampere and later do. */
    boolean hasBf16TensorCores() {
        return major() >= 8;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%d: %s, %,d MiB, %s", ordinal, name, bytes >> 20, gpu);
    }
}
