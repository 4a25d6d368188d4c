package org.lockstep.model;

import java.util.ArrayList;
import java.util.List;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/** Everything that a pipeline stage holds on its device, given back together. Confined to the rank's thread. */
final class StageMemory implements AutoCloseable {
    private final Kernels kernels;
    private final List<Tensor> tensors = new ArrayList<>();
    private final List<Weight> weights = new ArrayList<>();
    private final List<CacheBlocks> caches = new ArrayList<>();

    StageMemory(Kernels kernels) {
        this.kernels = kernels;
    }

    Tensor zeros(DataType type, long... dims) {
        return keep(kernels.zeros(type, dims));
    }

    Tensor upload(HostBuffer source, long... dims) {
        return keep(kernels.upload(source, dims));
    }

    Weight prepare(MatrixSource source, WeightType type, int segments) {
        Weight weight = kernels.prepare(source, type, segments);
        weights.add(weight);
        return weight;
    }

    CacheBlocks cache(CacheSize size, int heads, int headSize) {
        CacheBlocks cache = kernels.cache(size.type(), size.blocks(), size.blockSize(), heads, headSize);
        caches.add(cache);
        return cache;
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

    /** Of tensors and weights; caches not counted. */
    long bytes() {
        return tensors.stream().mapToLong(tensor -> tensor.buffer().bytes()).sum()
                + weights.stream().mapToLong(Weight::bytes).sum();
    }

    /** Idempotent. */
    @Override
    public void close() {
        tensors.forEach(tensor -> tensor.buffer().close());
        weights.forEach(Weight::close);
        caches.forEach(CacheBlocks::close);
        tensors.clear();
        weights.clear();
        caches.clear();
    }
}
