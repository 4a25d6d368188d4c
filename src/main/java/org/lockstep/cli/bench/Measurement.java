package org.lockstep.cli.bench;

import java.io.Serializable;

/**
 * What one operation cost at one size. Immutable.
 *
 * @param operation that was called
 * @param ranks of the group
 * @param bytes as nccl-tests counts them: of the larger buffer of a rank
 * @param count elements of that buffer
 * @param type of the elements; {@code none} where there are none
 * @param redop of the reduction; {@code none} where there is none
 * @param root of the operation; -1 where there is none
 * @param inPlace whether the result took the place of what was sent
 * @param medianNanos time of a call on the slowest rank: the median of the batches
 * @param bestNanos the same of the fastest batch
 * @param calls of a batch
 * @param wrong elements on all ranks that were not what they should have been; -1 where none were compared
 * @param transport that joins the ranks which are farthest apart, or {@code nccl}; {@code none} of a rank alone
 */
public record Measurement(
        Operation operation,
        int ranks,
        long bytes,
        long count,
        String type,
        String redop,
        int root,
        boolean inPlace,
        double medianNanos,
        double bestNanos,
        int calls,
        long wrong,
        String transport)
        implements Serializable {

    /** Bytes per nanosecond, which is GB/s. */
    public double algorithmBandwidth() {
        return bytes / medianNanos;
    }

    /** What the wires of the busiest rank carried, in GB/s. */
    public double busBandwidth() {
        return algorithmBandwidth() * operation.busFactor(ranks);
    }
}
