package org.lockstep.cpu;

import org.junit.jupiter.api.Nested;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.KernelsContract;

/** The contract on every way to compute. */
class CpuKernelsTest {
    @Nested
    class AsTheyAreCreated extends KernelsContract {
        @Override
        protected Kernels create() {
            return CpuKernels.create();
        }
    }

    @Nested
    class InVectors extends KernelsContract {
        @Override
        protected Kernels create() {
            return CpuKernels.create(Arithmetic.vectors(), 1, false);
        }
    }

    @Nested
    class InPlainJava extends KernelsContract {
        @Override
        protected Kernels create() {
            return CpuKernels.create(Arithmetic.plain(8), 1, false);
        }
    }

    @Nested
    class OnThreads extends KernelsContract {
        @Override
        protected Kernels create() {
            return CpuKernels.create(3);
        }
    }
}
