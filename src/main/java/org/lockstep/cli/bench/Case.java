package org.lockstep.cli.bench;

import org.lockstep.tensor.DataType;

/**
 * One operation at one size.
 *
 * @param operation to call
 * @param bytes of the larger buffer of a rank, as asked for
 * @param inPlace whether the result takes the place of what was sent
 */
record Case(Operation operation, long bytes, boolean inPlace) {

    /** Elements of the larger buffer: as many as fit, the same in each block, and at least one. */
    int count(DataType type, int ranks) {
        if (operation == Operation.BARRIER) {
            return 0;
        }
        long elements = Math.max(1, bytes / type.bytes());
        return Math.toIntExact(operation.hasBlocks() ? Math.max(1, elements / ranks) * ranks : elements);
    }
}
