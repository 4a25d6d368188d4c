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

    /** What went through since then; no time is less than none, though an estimate may have been corrected downwards. */
    public Traffic minus(Traffic before) {
        return new Traffic(operations - before.operations, bytes - before.bytes, Math.max(0, nanos - before.nanos));
    }

    public Traffic plus(Traffic other) {
        return new Traffic(operations + other.operations, bytes + other.bytes, nanos + other.nanos);
    }
}
