package org.lockstep.cpu;

import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/** A weight matrix in heap memory, row by row. */
record HostWeight(HostBuffer buffer, int rows, int columns, WeightType type, int segments) implements Weight {
    @Override
    public long bytes() {
        return buffer.bytes();
    }

    @Override
    public void close() {}
}
