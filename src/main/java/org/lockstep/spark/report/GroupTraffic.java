package org.lockstep.spark.report;

import java.io.Serializable;
import org.lockstep.topology.GroupKind;

/**
 * What a rank moved through one of its groups in a run.
 *
 * @param kind of group
 * @param index of the group among those of its kind
 * @param size ranks in the group
 * @param operations completed
 * @param bytes of the callers' buffers, not of the wire
 * @param nanos inside operations, waiting for peers included; about
 */
public record GroupTraffic(GroupKind kind, int index, int size, long operations, long bytes, long nanos)
        implements Serializable {
    /** What was moved since then. */
    GroupTraffic minus(GroupTraffic before) {
        return new GroupTraffic(
                kind, index, size, operations - before.operations, bytes - before.bytes, nanos - before.nanos);
    }
}
