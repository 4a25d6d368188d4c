package org.lockstep.tensor;

/**
 * A weight matrix (rows, columns) as the kernels of one device read it: laid out, converted or quantised by
 * {@link Kernels#prepare}, and opaque to everybody else. Its contents never change.
 */
public interface Weight extends AutoCloseable {
    int rows();

    int columns();

    WeightType type();

    /** Equal runs of columns whose sums are added as a tree; see {@link Kernels#linear}. */
    int segments();

    /** Bytes held on the device, padding included. */
    long bytes();

    /** Gives the memory back. Idempotent. */
    @Override
    void close();
}
