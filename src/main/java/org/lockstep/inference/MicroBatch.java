package org.lockstep.inference;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;

/**
 * What one step computes, in the form the model takes it: the same on every rank of a replica.
 *
 * <p>One to a lane of the pipeline, filled anew when what was in it has landed. Its arrays are made anew only where the step
 * has another shape than the one before: decoding allocates none. Confined to its rank's thread.
 */
final class MicroBatch {
    private static final int[] NONE = {};

    private final int blockSize;
    private final List<Sequence> sequences = new ArrayList<>();
    private StepPlan plan = StepPlan.last();
    private int[] ids = NONE;
    private int[] starts = {0};
    private int[] contexts = NONE;
    private int[][] tables = {};
    private int[] logitRows = NONE;
    private int[] slots = NONE;
    private int[] sampled = NONE;
    private BatchLayout layout;

    /** Nothing to compute. */
    MicroBatch(int blockSize) {
        this.blockSize = blockSize;
        this.layout = new BatchLayout(starts, contexts, tables, blockSize);
    }

    /**
     * Takes the planned tokens of each sequence, which count as computed from now on.
     *
     * @param running by slot; null where none is
     */
    void fill(StepPlan planned, @Nullable Sequence[] running) {
        int batch = planned.slots().length;
        plan = planned;
        ids = sized(ids, planned.tokens());
        starts = sized(starts, batch + 1);
        contexts = sized(contexts, batch);
        tables = tables.length == batch ? tables : new int[batch][];
        sequences.clear();
        for (int i = 0; i < batch; i++) {
            int count = planned.counts()[i];
            Sequence sequence = running(running, planned.slots()[i]);
            sequence.copyNext(count, ids, starts[i]);
            sequence.advance(count);
            if (sequence.computed() > (long) sequence.blockCount() * blockSize) {
                throw new IllegalStateException("the plan computes " + sequence.computed() + " tokens of request "
                        + sequence.id() + " in " + sequence.blockCount() + " blocks of " + blockSize);
            }
            starts[i + 1] = starts[i] + count;
            contexts[i] = sequence.computed();
            tables[i] = sequence.blocks();
            if (sequence.remaining() == 0) {
                sequences.add(sequence);
            }
        }
        layout = new BatchLayout(starts, contexts, tables, blockSize);
        findRows(running);
    }

    private void findRows(@Nullable Sequence[] running) {
        int rows = sequences.size();
        logitRows = sized(logitRows, rows);
        slots = sized(slots, rows);
        sampled = sized(sampled, rows);
        int row = 0;
        for (int i = 0; row < rows; i++) {
            int slot = plan.slots()[i];
            if (running(running, slot) == sequences.get(row)) {
                logitRows[row] = starts[i + 1] - 1;
                slots[row++] = slot;
            }
        }
    }

    private static int[] sized(int[] known, int size) {
        return known.length == size ? known : new int[size];
    }

    /** Changes who runs as the plan says: who leaves, who joins, who gets a block. */
    static void seat(StepPlan plan, @Nullable Sequence[] running) {
        for (int slot : plan.released()) {
            running[slot] = null;
        }
        for (StepPlan.Admission each : plan.admitted()) {
            running[each.slot()] = each.sequence();
        }
        for (int i = 0; i < plan.grown().length; i++) {
            running(running, plan.grown()[i]).addBlock(plan.grownBlocks()[i]);
        }
    }

    private static Sequence running(@Nullable Sequence[] running, int slot) {
        Sequence sequence = running[slot];
        if (sequence == null) {
            throw new IllegalStateException("the plan speaks of slot " + slot + ", in which nothing runs");
        }
        return sequence;
    }

    /** That it carries out. */
    StepPlan plan() {
        return plan;
    }

    int tokens() {
        return ids.length;
    }

    /** Tokens of the step, sequence after sequence. */
    int[] ids() {
        return ids;
    }

    /** Where they sit. */
    BatchLayout layout() {
        return layout;
    }

    /** The last token of each sequence that gets a new one. */
    int[] logitRows() {
        return logitRows;
    }

    /** Slots of those sequences, row by row. */
    int[] slots() {
        return slots;
    }

    /** Those sequences, row by row. */
    List<Sequence> sequences() {
        return sequences;
    }

    /** Room for the new token of each, row by row. */
    int[] sampled() {
        return sampled;
    }
}
