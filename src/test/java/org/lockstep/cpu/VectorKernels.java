package org.lockstep.cpu;

import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.Kernels;

/** The door for benchmarks to kernels that compute with vectors whatever they cost, where those of a rank choose. */
public final class VectorKernels {
    private VectorKernels() {}

    /** On the caller's thread alone. */
    public static Kernels create() {
        return CpuKernels.create(Arithmetic.vectors(), 1, false);
    }
}
