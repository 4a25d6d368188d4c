package org.lockstep.model;

import java.util.ArrayList;
import java.util.List;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Tensor;

/** Everything that a pipeline stage holds on its device, given back together. Confined to the rank's thread. */
final class StageMemory implements AutoCloseable {
    private final Kernels kernels;
    private final List<Tensor> tensors = new ArrayList<>();

    StageMemory(Kernels kernels) {
        this.kernels = kernels;
    }

    Tensor zeros(DataType type, long... dims) {
        return keep(kernels.zeros(type, dims));
    }

    Tensor upload(HostBuffer source, long... dims) {
        return keep(kernels.upload(source, dims));
    }

    private Tensor keep(Tensor tensor) {
        tensors.add(tensor);
        return tensor;
    }

    /** Gives one tensor back before the others. */
    void release(Tensor tensor) {
        tensors.removeIf(kept -> kept.buffer() == tensor.buffer());
        tensor.buffer().close();
    }

    long bytes() {
        return tensors.stream().mapToLong(tensor -> tensor.buffer().bytes()).sum();
    }

    /** Idempotent. */
    @Override
    public void close() {
        tensors.forEach(tensor -> tensor.buffer().close());
        tensors.clear();
    }
}
