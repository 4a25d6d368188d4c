package org.lockstep.checkpoint;

import java.util.Set;
import org.lockstep.LockstepException;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;

/**
 * The tensors of a model by name, read slice by slice: a {@link Checkpoint}, or whatever makes weights. Confined to one
 * thread.
 */
public interface TensorSource {
    boolean contains(String name);

    /** The names of all tensors, in the order in which they are stored. */
    Set<String> names();

    /** Number of tensors. */
    int size();

    /** Bytes of all tensors together. */
    long bytes();

    /**
     * The type of a tensor that must have this shape, and where it comes from.
     *
     * @throws LockstepException CHECKPOINT_INVALID if there is none of that name or it has another shape
     */
    TensorInfo expect(String name, Shape shape);

    /**
     * Indices {@code from .. from + count - 1} of dim 0: whole rows of a matrix, elements of a vector.
     *
     * @throws IndexOutOfBoundsException if they are not all there
     */
    HostBuffer readRows(String name, long from, long count);

    /**
     * Columns of some rows of a matrix, packed: {@code [rows, columns]}.
     *
     * @throws IndexOutOfBoundsException if they are not all there
     */
    HostBuffer readBlock(String name, long fromRow, long rows, long fromColumn, long columns);
}
