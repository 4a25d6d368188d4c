package org.lockstep.spark.settings;

import java.util.Locale;

/** Which devices ranks are to compute on. */
public enum DeviceChoice {
    /** GPUs where there are some: of the machine under a local master, on a cluster where the tasks are given GPUs. */
    AUTO,
    CPU,
    CUDA;

    /** As options and settings write it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
