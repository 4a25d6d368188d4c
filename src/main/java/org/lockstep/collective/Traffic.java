package org.lockstep.collective;

/**
 * What went through communicators.
 *
 * @param operations completed operations
 * @param bytes bytes of the callers' buffers, not of the wire
 * @param nanos time spent inside operations, waiting for peers included; of operations under 4 KiB estimated by a sample
 */
public record Traffic(long operations, long bytes, long nanos) {
    public static final Traffic NONE = new Traffic(0, 0, 0);

    /** What went through since then. */
    public Traffic minus(Traffic before) {
        return new Traffic(operations - before.operations, bytes - before.bytes, nanos - before.nanos);
    }

    public Traffic plus(Traffic other) {
        return new Traffic(operations + other.operations, bytes + other.bytes, nanos + other.nanos);
    }
}
