package org.lockstep.tensor;

import java.io.Serializable;

/**
 * Where a buffer lives.
 *
 * @param kind host memory or a CUDA device's
 * @param ordinal 0 on the host; the local rank of the device on its host otherwise
 */
public record Device(Kind kind, int ordinal) implements Serializable {
    /** The host, of which there is one to a process. */
    public static final Device HOST = new Device(Kind.CPU, 0);

    /** The kinds of memory there are. */
    public enum Kind {
        CPU,
        CUDA
    }

    public Device {
        if (ordinal < 0) {
            throw new IllegalArgumentException("device ordinal (" + ordinal + ") is negative");
        }
    }

    @Override
    public String toString() {
        return kind == Kind.CPU ? "cpu" : "cuda:" + ordinal;
    }
}
