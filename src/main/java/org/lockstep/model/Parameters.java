package org.lockstep.model;

import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.TensorInfo;
import org.lockstep.checkpoint.TensorSource;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * The tensors of a checkpoint as layers ask for them: checked, cut while reading, and put on the device.
 *
 * <p>A layer names the whole shape it expects and the part it wants; only that part is read. Matrices are held as
 * they are stored or as a weight type asks for; vectors (norms and biases) are widened to f32. Confined to the rank's thread. A tensor that is missing, has
 * another shape or is not floating is CHECKPOINT_INVALID.
 */
final class Parameters {
    private static final Set<DataType> WEIGHTS = Set.of(DataType.F32, DataType.BF16, DataType.F16);

    private final TensorSource checkpoint;
    private final StageMemory memory;
    private final @Nullable WeightType weightType;

    /** Matrices are held as {@code weightType}; null leaves them as they are stored. */
    Parameters(TensorSource checkpoint, StageMemory memory, @Nullable WeightType weightType) {
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

    /** Rows {@code from} to {@code from + count - 1} of a matrix (rows, columns); zeros where it has no more. */
    Weight rows(String name, int rows, int columns, int from, int count) {
        return prepare(new Block(name, rows, columns, from, count, 0, columns), 1);
    }

    /** Columns {@code from} to {@code from + count - 1} of a matrix (rows, columns), summed in so many segments. */
    Weight columns(String name, int rows, int columns, int from, int count, int segments) {
        return prepare(new Block(name, rows, columns, 0, rows, from, count), segments);
    }

    private Weight prepare(Block block, int segments) {
        return memory.prepare(block, weightType == null ? WeightType.of(block.type()) : weightType, segments);
    }

    /** A part of a tensor of the checkpoint, read as it is asked for. */
    private final class Block implements MatrixSource {
        private final String name;
        private final DataType type;
        private final int there; // rows of the tensor; what is asked for beyond them is padding
        private final int firstRow;
        private final int rows;
        private final int firstColumn;
        private final int columns;

        Block(String name, int allRows, int allColumns, int firstRow, int rows, int firstColumn, int columns) {
            this.name = name;
            this.type = check(checkpoint, name, Shape.of(allRows, allColumns)).type();
            this.there = allRows;
            this.firstRow = firstRow;
            this.rows = rows;
            this.firstColumn = firstColumn;
            this.columns = columns;
        }

        @Override
        public int rows() {
            return rows;
        }

        @Override
        public int columns() {
            return columns;
        }

        @Override
        public DataType type() {
            return type;
        }

        @Override
        public HostBuffer read(int from, int count) {
            int first = firstRow + from;
            int stored = Math.max(0, Math.min(count, there - first));
            if (stored == count) {
                return checkpoint.readBlock(name, first, count, firstColumn, columns);
            }
            HostBuffer padded = HostBuffer.allocate(type, (long) count * columns);
            if (stored > 0) {
                padded.slice(0, (long) stored * columns)
                        .copyFrom(checkpoint.readBlock(name, first, stored, firstColumn, columns));
            }
            return padded;
        }
    }

    /**
     * The tensor's header, as the settings promise it.
     *
     * @throws LockstepException CHECKPOINT_INVALID
     */
    static TensorInfo check(TensorSource checkpoint, String name, Shape shape) {
        if (!checkpoint.contains(name)) {
            throw LockstepException.report(
                            ErrorCode.CHECKPOINT_INVALID,
                            "tensor '" + name + "' " + shape + " is not among the " + checkpoint.size()
                                    + " tensors of the checkpoint")
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
}
