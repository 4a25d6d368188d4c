package org.lockstep.cuda;

import java.nio.IntBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Step;
import org.lockstep.tensor.StepLimits;

/**
 * Where the tokens of a step sit, as the kernels read it: the tables of {@code src/main/cuda/README.md}, in device memory.
 * A layout is copied once, however many layers ask for it. Confined to one thread at a time.
 */
final class StepTables implements AutoCloseable {
    private static final int[] NONE = {};
    private static final int ROUND = 128; // positions that a block of attention takes

    private static final int MOST_CONSTANTS = 1024; // one for each number of rows, and few more

    private final DeviceInts ints;
    private final DeviceInts apart;
    private @Nullable BatchLayout current;
    private @Nullable Places places;
    private final Map<IntBuffer, DeviceBuffer> constants = new HashMap<>(); // by contents
    private final DeviceArena arena;
    private final Runnable moved;
    private int @Nullable [] ids; // of the step at hand, in the table at idsAt
    private int @Nullable [] rows;
    private long idsAt;
    private long rowsAt;

    /** @param moved is told when the tables are somewhere else than before */
    StepTables(CudaDevice device, DeviceArena arena, Runnable moved) {
        this.ints = new DeviceInts(device, arena, moved);
        this.apart = new DeviceInts(device, arena, () -> {});
        this.arena = arena;
        this.moved = moved;
    }

    /** Takes room for the tables of the largest step ahead. */
    void reserve(StepLimits largest) {
        int blocks = powerOfTwo((largest.positions() + largest.blockSize() - 1) / largest.blockSize());
        ints.reserve(3 * largest.tokens() + largest.sequences() * (3 + blocks) + 1);
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

    /** The tables of {@code layout}: those of the step that is under way, or others, valid until the next. */
    Places of(BatchLayout layout) {
        Places known = places;
        return known != null && layout.equals(current) ? known : copy(layout, NONE, NONE, false);
    }

    /**
     * Copies all that a step's kernels are told, at once. A step that only decodes is cut as one with a somewhat longer
     * context, so that the next ones have equal grids and tables.
     */
    Places begin(Step step) {
        BatchLayout layout = step.layout();
        Places made = copy(layout, step.ids(), step.logitRows(), layout.tokens() == layout.sequences());
        ids = step.ids();
        rows = step.logitRows();
        return made;
    }

    /** The step is over: its arrays are its caller's again. */
    void end() {
        current = null;
        ids = null;
        rows = null;
    }

    /** Where token ids are. */
    long ids(int[] values) {
        return values == ids ? idsAt : apart.of(values);
    }

    /**
     * Where row numbers are. Others than the step's are the same in many steps, and a graph that was recorded reads them at
     * every replay: they stay on the device, by what they are.
     */
    long rows(int[] values) {
        if (values == rows) {
            return rowsAt;
        }
        DeviceBuffer known = constants.get(IntBuffer.wrap(values));
        return (known == null ? keep(values) : known).address();
    }

    private DeviceBuffer keep(int[] values) {
        if (constants.size() >= MOST_CONSTANTS) {
            moved.run();
            constants.values().forEach(DeviceBuffer::close);
            constants.clear();
        }
        DeviceBuffer made = DeviceBuffer.allocate(arena, DataType.I32, Math.max(1, values.length));
        made.slice(0, values.length).copyFrom(HostBuffer.of(DataType.I32, values.clone()));
        constants.put(IntBuffer.wrap(values.clone()), made);
        return made;
    }

    private Places copy(BatchLayout layout, int[] stepIds, int[] stepRows, boolean rounded) {
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
        if (rounded) {
            maxBlocks = powerOfTwo(maxBlocks);
            longestDecode = rounded(longestDecode);
        }
        int starts = 2 * tokens;
        int contexts = starts + sequences + 1;
        int tables = contexts + sequences;
        int idTable = tables + sequences * maxBlocks;
        int rowTable = idTable + stepIds.length;
        current = null; // until all of it is there
        IntBuffer all = ints.begin(rowTable + stepRows.length);
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
        all.put(idTable, stepIds);
        all.put(rowTable, stepRows);
        long at = ints.end();
        idsAt = at + 4L * idTable;
        rowsAt = at + 4L * rowTable;
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

    /** A context as a step that only decodes is cut for it. */
    static int rounded(int context) {
        return Math.max(ROUND, powerOfTwo(context));
    }

    /** The least that is not less. */
    private static int powerOfTwo(int value) {
        return value <= 1 ? 1 : Integer.highestOneBit(value - 1) * 2;
    }

    @Override
    public void close() {
        Release.all(List.of(ints::close, apart::close));
    }
}
