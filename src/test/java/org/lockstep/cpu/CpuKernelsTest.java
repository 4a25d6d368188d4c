package org.lockstep.cpu;

import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.KernelsContract;

class CpuKernelsTest extends KernelsContract {
    @Override
    protected Kernels create() {
        return CpuKernels.create();
    }
}
