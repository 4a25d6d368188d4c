package org.lockstep.model;

import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.Checkpoint;
import org.lockstep.checkpoint.TensorInfo;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;

/**
 * The tensors of a checkpoint as layers ask for them: checked, cut while reading, and put on the device.
 *
 * <p>A layer names the whole shape it expects and the part it wants; only that part is read. Matrices keep the type they
 * are stored in; vectors (norms and biases) are widened to f32. Confined to the rank's thread. A tensor that is missing, has
 * another shape or is not floating is CHECKPOINT_INVALID.
 */
final class Parameters {
    private static final Set<DataType> WEIGHTS = Set.of(DataType.F32, DataType.BF16, DataType.F16);

    private final Checkpoint checkpoint;
    private final StageMemory memory;
    private final @Nullable DataType weightType;

    /** Matrices are converted to {@code weightType} as they are read; null leaves them as they are stored. */
    Parameters(Checkpoint checkpoint, StageMemory memory, @Nullable DataType weightType) {
        this.checkpoint = checkpoint;
        this.memory = memory;
        this.weightType = weightType;
    }

    boolean contains(String name) {
        return checkpoint.contains(name);
    }

    /** All of a vector, as f32. */
    Tensor vector(String name, int length) {
        return vector(name, length, 0, length);
    }

    /** Elements {@code from} to {@code from + count - 1} of a vector, as f32. */
    Tensor vector(String name, int length, int from, int count) {
        check(checkpoint, name, Shape.of(length));
        return memory.upload(checkpoint.readRows(name, from, count).to(DataType.F32), count);
    }

    /** Rows {@code from} to {@code from + count - 1} of a matrix (rows, columns), in their weight type. */
    Tensor rows(String name, int rows, int columns, int from, int count) {
        check(checkpoint, name, Shape.of(rows, columns));
        return memory.upload(matrix(checkpoint.readRows(name, from, count)), count, columns);
    }

    /** As {@link #rows}, with rows of zeros where the matrix has no more. */
    Tensor paddedRows(String name, int rows, int columns, int from, int count) {
        int there = Math.max(0, Math.min(count, rows - from));
        if (there == count) {
            return rows(name, rows, columns, from, count);
        }
        DataType type = check(checkpoint, name, Shape.of(rows, columns)).type();
        HostBuffer padded = HostBuffer.allocate(type, (long) count * columns);
        if (there > 0) {
            padded.slice(0, (long) there * columns).copyFrom(checkpoint.readRows(name, from, there));
        }
        return memory.upload(matrix(padded), count, columns);
    }

    /** Columns {@code from} to {@code from + count - 1} of a matrix (rows, columns), in their weight type. */
    Tensor columns(String name, int rows, int columns, int from, int count) {
        check(checkpoint, name, Shape.of(rows, columns));
        return memory.upload(matrix(checkpoint.readColumns(name, from, count)), rows, count);
    }

    /**
     * The tensor's header, as the settings promise it.
     *
     * @throws LockstepException CHECKPOINT_INVALID
     */
    static TensorInfo check(Checkpoint checkpoint, String name, Shape shape) {
        if (!checkpoint.contains(name)) {
            throw LockstepException.report(
                            ErrorCode.CHECKPOINT_INVALID,
                            "tensor '" + name + "' " + shape + " is not among the "
                                    + checkpoint.names().size() + " tensors of the checkpoint")
                    .attempt("take config.json and the weights from the same model")
                    .exception();
        }
        TensorInfo info = checkpoint.expect(name, shape);
        if (!WEIGHTS.contains(info.type())) {
            throw LockstepException.report(ErrorCode.CHECKPOINT_INVALID, info + ": weights are f32, bf16 or f16")
                    .attempt("convert the weights to bf16")
                    .exception();
        }
        return info;
    }

    private HostBuffer matrix(HostBuffer stored) {
        return weightType == null ? stored : stored.to(weightType);
    }
}
