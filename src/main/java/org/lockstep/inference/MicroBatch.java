package org.lockstep.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;

/**
 * What one step computes, in the form the model takes it: the same on every rank of a replica. Immutable once made; used
 * for one step.
 *
 * @param plan that it carries out
 * @param ids tokens of the step, sequence after sequence
 * @param layout where they sit
 * @param logitRows the last token of each sequence that gets a new one
 * @param slots of those sequences, row by row
 * @param sequences those sequences, row by row
 */
@SuppressWarnings("ArrayRecordComponent") // lives for one step
record MicroBatch(
        StepPlan plan, int[] ids, BatchLayout layout, int[] logitRows, int[] slots, List<Sequence> sequences) {

    /**
     * Takes the planned tokens of each sequence, which count as computed from now on.
     *
     * @param running by slot; null where none is
     */
    static MicroBatch of(StepPlan plan, @Nullable Sequence[] running, int blockSize) {
        int batch = plan.slots().length;
        int[] ids = new int[plan.tokens()];
        int[] starts = new int[batch + 1];
        int[] contexts = new int[batch];
        int[][] tables = new int[batch][];
        List<Sequence> sampled = new ArrayList<>(batch);
        int[] rows = new int[batch];
        int[] slots = new int[batch];
        for (int i = 0; i < batch; i++) {
            int slot = plan.slots()[i];
            int count = plan.counts()[i];
            Sequence sequence = running(running, slot);
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
                rows[sampled.size()] = starts[i + 1] - 1;
                slots[sampled.size()] = slot;
                sampled.add(sequence);
            }
        }
        return new MicroBatch(
                plan,
                ids,
                new BatchLayout(starts, contexts, tables, blockSize),
                Arrays.copyOf(rows, sampled.size()),
                Arrays.copyOf(slots, sampled.size()),
                sampled);
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

    int tokens() {
        return ids.length;
    }
}
