package org.lockstep.cuda;

import java.nio.IntBuffer;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;

/**
 * Where the tokens of a step sit, as the kernels read it: the tables of {@code src/main/cuda/README.md}, in device memory.
 * A layout is copied once, however many layers ask for it. Confined to one thread at a time.
 */
final class StepTables implements AutoCloseable {
    private final DeviceInts ints;
    private @Nullable BatchLayout current;
    private @Nullable Places places;

    StepTables(CudaDevice device, DeviceArena arena) {
        this.ints = new DeviceInts(device, arena);
    }

    /**
     * Addresses of the tables of one layout, and what grids are cut by.
     *
     * @param positions of each token in its sequence
     * @param slots of each token in the cache
     * @param maxBlocks width of the block tables
     * @param mostTokens of a sequence in this step
     * @param longestDecode the longest context of a sequence that brings one token, 0 where none does
     */
    record Places(
            long positions,
            long slots,
            long queryStarts,
            long contextLengths,
            long blockTables,
            int sequences,
            int maxBlocks,
            int mostTokens,
            int longestDecode) {}

    /** The tables of {@code layout}, valid until those of a layout with other arrays. */
    Places of(BatchLayout layout) {
        Places known = places;
        if (known != null && layout.equals(current)) {
            return known;
        }
        int tokens = layout.tokens();
        int sequences = layout.sequences();
        int maxBlocks = 0;
        int mostTokens = 0;
        int longestDecode = 0;
        for (int s = 0; s < sequences; s++) {
            int context = layout.contextLengths()[s];
            int brought = layout.queryStarts()[s + 1] - layout.queryStarts()[s];
            maxBlocks = Math.max(maxBlocks, (context + layout.blockSize() - 1) / layout.blockSize());
            mostTokens = Math.max(mostTokens, brought);
            longestDecode = brought == 1 ? Math.max(longestDecode, context) : longestDecode;
        }
        int starts = 2 * tokens;
        int contexts = starts + sequences + 1;
        int tables = contexts + sequences;
        IntBuffer all = ints.begin(tables + sequences * maxBlocks);
        for (int s = 0; s < sequences; s++) {
            int first = layout.queryStarts()[s];
            int position = layout.firstPosition(s);
            int[] blocks = layout.blockTables()[s];
            for (int t = first; t < layout.queryStarts()[s + 1]; t++) {
                all.put(t, position);
                all.put(
                        tokens + t,
                        blocks[position / layout.blockSize()] * layout.blockSize() + position % layout.blockSize());
                position++;
            }
            all.put(tables + s * maxBlocks, blocks, 0, Math.min(blocks.length, maxBlocks));
        }
        all.put(starts, layout.queryStarts(), 0, sequences + 1);
        all.put(contexts, layout.contextLengths(), 0, sequences);
        long at = ints.end();
        Places made = new Places(
                at,
                at + 4L * tokens,
                at + 4L * starts,
                at + 4L * contexts,
                at + 4L * tables,
                sequences,
                maxBlocks,
                mostTokens,
                longestDecode);
        current = layout;
        places = made;
        return made;
    }

    @Override
    public void close() {
        ints.close();
    }
}
