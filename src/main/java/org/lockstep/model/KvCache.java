package org.lockstep.model;

import java.util.List;
import java.util.stream.IntStream;
import org.lockstep.tensor.CacheBlocks;

/**
 * The keys and values of every token so far, in blocks, for the layers and the key/value heads of one rank.
 *
 * <p>Which block belongs to which sequence is the scheduler's business: see {@link org.lockstep.tensor.BatchLayout}.
 *
 * @param size of each layer's part
 * @param layers of this pipeline stage
 */
record KvCache(CacheSize size, List<CacheBlocks> layers) {
    KvCache {
        layers = List.copyOf(layers);
    }

    static KvCache allocate(StageMemory memory, CacheSize size, int layers, int heads, int headSize) {
        return new KvCache(
                size,
                IntStream.range(0, layers)
                        .mapToObj(i -> memory.cache(size, heads, headSize))
                        .toList());
    }
}
