package org.lockstep.tensor;

/**
 * A buffer and how to read it, row-major.
 *
 * @param buffer exactly {@code shape.elements()} elements
 */
public record Tensor(Buffer buffer, Shape shape) {
    public Tensor {
        if (buffer.length() != shape.elements()) {
            throw new IllegalArgumentException("a tensor of shape " + shape + " needs " + shape.elements()
                    + " elements, the buffer has " + buffer.length());
        }
    }

    public static Tensor of(Buffer buffer, long... dims) {
        return new Tensor(buffer, Shape.of(dims));
    }

    public DataType type() {
        return buffer.type();
    }

    /** Rows {@code from} to {@code from + count - 1} of the outermost dim, as a view. */
    public Tensor rows(long from, long count) {
        long row = shape.dim(0) == 0 ? 0 : shape.elements() / shape.dim(0);
        long[] dims = new long[shape.rank()];
        for (int i = 0; i < dims.length; i++) {
            dims[i] = shape.dim(i);
        }
        dims[0] = count;
        return new Tensor(buffer.slice(from * row, count * row), Shape.of(dims));
    }
}
