package org.lockstep.tensor;

/**
 * A matrix on its way to a device, read run by run so that it need not be in host memory whole. Confined to one thread.
 */
public interface MatrixSource {
    int rows();

    int columns();

    /** The floating type of what {@link #read} returns. */
    DataType type();

    /** Rows {@code from} to {@code from + count - 1}: (count, columns), valid for good. */
    HostBuffer read(int from, int count);

    /** A matrix in host memory, shared with {@code buffer}. */
    static MatrixSource of(HostBuffer buffer, int rows, int columns) {
        if (buffer.length() != (long) rows * columns) {
            throw new IllegalArgumentException(
                    "a matrix of " + rows + " × " + columns + " is not a buffer of " + buffer.length());
        }
        return new MatrixSource() {
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
                return buffer.type();
            }

            @Override
            public HostBuffer read(int from, int count) {
                return buffer.slice((long) from * columns, (long) count * columns);
            }
        };
    }
}
