package org.lockstep.model;

import java.util.List;
import java.util.stream.IntStream;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Tensor;

/**
 * The keys and values of every token so far, in blocks, for the layers and the key/value heads of one rank.
 *
 * <p>Which block belongs to which sequence is the scheduler's business: see {@link org.lockstep.tensor.BatchLayout}.
 *
 * @param size of each layer's part
 * @param layers of this pipeline stage
 */
record KvCache(CacheSize size, List<Layer> layers) {
    /**
     * One layer's part.
     *
     * @param keys (blocks, blockSize, kvHeads · headSize), f32
     * @param values likewise
     */
    record Layer(Tensor keys, Tensor values) {}

    KvCache {
        layers = List.copyOf(layers);
    }

    static KvCache allocate(StageMemory memory, CacheSize size, int layers, int width) {
        return new KvCache(
                size,
                IntStream.range(0, layers)
                        .mapToObj(i -> new Layer(
                                memory.zeros(DataType.F32, size.blocks(), size.blockSize(), width),
                                memory.zeros(DataType.F32, size.blocks(), size.blockSize(), width)))
                        .toList());
    }
}
