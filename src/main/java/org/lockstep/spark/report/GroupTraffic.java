package org.lockstep.spark.report;

import java.io.Serializable;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.topology.GroupKind;

/**
 * What a rank moved through one of its groups by one operation in a run.
 *
 * @param kind of group
 * @param index of the group among those of its kind
 * @param size ranks in the group
 * @param operation which; what is received counts as a send, which it is to the peer
 * @param operations completed
 * @param bytes of the callers' buffers, not of the wire
 * @param nanos inside operations, waiting for peers included; about
 */
public record GroupTraffic(
        GroupKind kind, int index, int size, Operation operation, long operations, long bytes, long nanos)
        implements Serializable {}
