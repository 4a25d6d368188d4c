package org.lockstep.tensor;

import java.util.Arrays;
import java.util.stream.Collectors;

/** The extents of a tensor, outermost first; row-major. Immutable. */
public final class Shape {
    private final long[] dims;
    private final long elements;

    private Shape(long[] dims) {
        this.dims = dims;
        long product = 1;
        for (long dim : dims) {
            if (dim < 0) {
                throw new IllegalArgumentException("negative dim in shape " + Arrays.toString(dims));
            }
            product = Math.multiplyExact(product, dim);
        }
        this.elements = product;
    }

    /**
     * A shape of these extents.
     *
     * @throws IllegalArgumentException if a dim is negative
     * @throws ArithmeticException if the product of the dims does not fit a long
     */
    public static Shape of(long... dims) {
        return new Shape(dims.clone());
    }

    public int rank() {
        return dims.length;
    }

    /** Extent of dim {@code index}; a negative index counts from the last. */
    public long dim(int index) {
        return dims[index < 0 ? dims.length + index : index];
    }

    /** Product of the dims; 1 for a scalar. */
    public long elements() {
        return elements;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Shape shape && Arrays.equals(dims, shape.dims);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(dims);
    }

    @Override
    public String toString() {
        return Arrays.stream(dims).mapToObj(Long::toString).collect(Collectors.joining(", ", "[", "]"));
    }
}
