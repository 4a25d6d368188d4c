package org.lockstep.spark.report;

import java.io.Serializable;
import org.lockstep.topology.GroupKind;

/**
 * What a rank moved through one of its groups in a run.
 *
 * @param kind of group
 * @param size ranks in the group
 * @param operations completed
 * @param bytes of the callers' buffers, not of the wire
 * @param nanos inside operations, waiting for peers included; about
 */
public record GroupTraffic(GroupKind kind, int size, long operations, long bytes, long nanos) implements Serializable {
    /** What two ranks moved through groups of this kind. */
    public GroupTraffic plus(GroupTraffic other) {
        return new GroupTraffic(
                kind,
                Math.max(size, other.size),
                operations + other.operations,
                bytes + other.bytes,
                nanos + other.nanos);
    }

    /** What was moved since then. */
    GroupTraffic minus(GroupTraffic before) {
        return new GroupTraffic(kind, size, operations - before.operations, bytes - before.bytes, nanos - before.nanos);
    }
}
