package org.lockstep.cuda;

import org.lockstep.tensor.DataType;
import org.lockstep.tensor.StepLimits;

/**
 * Attention over a paged cache: sequences that bring many tokens by tiles with a running softmax (FlashAttention, Dao et al.,
 * 2022), on tensor cores where the cache has 16 bits and the device those (FlashAttention-2, Dao, 2023); those that bring one
 * cut over their context into parts that are then joined (Flash-Decoding, Dao et al., 2023). Confined to one thread at a time.
 */
final class DeviceAttention {
    private static final int QUERIES = 64; // of a block, over the query heads of a key/value head
    private static final int GROUP = 8; // query heads of a block, where sequences bring one token
    private static final int PART = 128; // positions of the context
    private static final int PREFILL_THREADS = 256;
    private static final int FLASH_THREADS = 128;
    private static final int FLASH_HEAD_SIZE = 128; // at most
    private static final int DECODE_THREADS = 128;

    /** Floats of parts that are taken ahead: what all rows at their longest would need could be more than the cache. */
    private static final long AHEAD = 8L << 20;

    private final KernelModule kernels;
    private final boolean tensorCores;
    private final Scratch parts;

    /**
     * Without scratch memory yet.
     *
     * @param tensorCores whether those of the device take bf16
     * @param moved is told when scratch memory is somewhere else than before
     */
    DeviceAttention(DeviceArena arena, KernelModule kernels, boolean tensorCores, Runnable moved) {
        this.kernels = kernels;
        this.tensorCores = tensorCores;
        this.parts = new Scratch(arena, DataType.F32, moved);
    }

    /** Takes room for the parts of the largest step ahead, as far as it is small beside a model; longer contexts take more. */
    void reserve(StepLimits largest) {
        int longest = StepTables.rounded(largest.positions());
        parts.of(Math.min(
                AHEAD, floats(largest.sequences(), largest.heads(), (longest + PART - 1) / PART, largest.headSize())));
    }

    private static long floats(int sequences, int heads, int count, int headSize) {
        return (long) sequences * heads * count * (headSize + 2);
    }

    void attend(long query, int heads, DeviceCache cache, StepTables.Places at, long out) {
        int group = heads / cache.heads();
        if (at.mostTokens() > 1) {
            boolean flash = tensorCores
                    && cache.type() != DataType.F32
                    && cache.headSize() <= FLASH_HEAD_SIZE
                    && cache.headSize() % 8 == 0;
            arguments(query, heads, cache, at)
                    .pointer(out)
                    .launch(
                            flash
                                    ? "flash_prefill_" + cache.type() + (cache.headSize() > 64 ? "_128" : "_64")
                                    : "attention_prefill_" + cache.type(),
                            (at.mostTokens() * group + QUERIES - 1) / QUERIES,
                            cache.heads(),
                            at.sequences(),
                            flash ? FLASH_THREADS : PREFILL_THREADS);
        }
        if (at.longestDecode() > 0) {
            decode(query, heads, cache, at, out);
        }
    }

    private void decode(long query, int heads, DeviceCache cache, StepTables.Places at, long out) {
        int group = heads / cache.heads();
        int count = (at.longestDecode() + PART - 1) / PART;
        long rows = (long) at.sequences() * heads * count;
        long partial =
                parts.of(floats(at.sequences(), heads, count, cache.headSize())).address();
        long stats = partial + 4 * rows * cache.headSize();
        arguments(query, heads, cache, at)
                .pointer(partial)
                .pointer(stats)
                .launch(
                        "attention_decode_" + cache.type(),
                        count,
                        cache.heads() * ((group + GROUP - 1) / GROUP),
                        at.sequences(),
                        DECODE_THREADS);
        kernels.with()
                .pointer(partial)
                .pointer(stats)
                .pointer(at.queryStarts())
                .pointer(at.contextLengths())
                .number(count)
                .number(heads)
                .number(cache.headSize())
                .pointer(out)
                .launch("attention_combine", heads, at.sequences(), 1, DECODE_THREADS);
    }

    /** The arguments that both ways share. */
    private KernelModule arguments(long query, int heads, DeviceCache cache, StepTables.Places at) {
        return kernels.with()
                .pointer(query)
                .pointer(cache.keys().address())
                .pointer(cache.values().address())
                .pointer(at.queryStarts())
                .pointer(at.contextLengths())
                .pointer(at.blockTables())
                .number(at.maxBlocks())
                .number(cache.blockSize())
                .number(heads)
                .number(cache.heads())
                .number(cache.headSize())
                .real((float) (1 / Math.sqrt(cache.headSize())));
    }
}
