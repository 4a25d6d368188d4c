package org.lockstep.inference;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;

/**
 * Continuous batching: who joins, who leaves, what each step computes.
 *
 * <p>First come, first served. Every running sequence computes its next token in every step; the first in line joins when
 * a slot is free, its blocks are, and its whole prompt fits into what is left of the step's tokens. Nobody overtakes, so
 * nobody starves. A pure machine of numbers: it sees neither tokens that were sampled nor text. Mutable; confined to the
 * source rank's thread.
 */
final class Scheduler {
    private final GeneratorOptions options;
    private final BlockManager blocks;
    private final Deque<Request> waiting = new ArrayDeque<>();
    private final List<Integer> running = new ArrayList<>(); // slots, in order of joining
    private final Deque<Integer> freeSlots = new ArrayDeque<>();
    private final List<Integer> released = new ArrayList<>();
    private final int[][] tables;

    Scheduler(GeneratorOptions options) {
        this.options = options;
        this.blocks = new BlockManager(options.cacheBlocks(), options.blockSize());
        this.tables = new int[options.maxSequences()][];
        for (int slot = 0; slot < options.maxSequences(); slot++) {
            freeSlots.add(slot);
        }
    }

    /**
     * Puts a request at the end of the line.
     *
     * @throws IllegalArgumentException if its prompt leaves no room for a token within {@code maxModelLength}
     */
    void add(Request request) {
        int tokens = request.prompt().length;
        if (tokens < 1 || tokens >= options.maxModelLength()) {
            throw new IllegalArgumentException(request + " is not in 1.." + (options.maxModelLength() - 1) + " tokens");
        }
        waiting.add(request);
    }

    boolean isIdle() {
        return waiting.isEmpty() && running.isEmpty();
    }

    /** Decides the next step; the end when idle. What it admits has joined, and what {@link #finish} freed has left. */
    StepPlan next() {
        boolean end = isIdle();
        int[] leaving = released.stream().mapToInt(Integer::intValue).toArray();
        released.clear();
        List<StepPlan.Admission> admitted = new ArrayList<>();
        int decoding = running.size();
        int left = options.maxTokensPerStep() - decoding;
        Request first = waiting.peek();
        while (first != null && canAdmit(first, left)) {
            admitted.add(admit(waiting.remove()));
            left -= first.prompt().length;
            first = waiting.peek();
        }
        int[] slots = running.stream().mapToInt(Integer::intValue).toArray();
        int[] counts = new int[slots.length];
        Arrays.fill(counts, 0, decoding, 1);
        for (int i = 0; i < admitted.size(); i++) {
            counts[decoding + i] = admitted.get(i).prompt().length;
        }
        return new StepPlan(end, leaving, admitted, slots, counts);
    }

    private boolean canAdmit(Request request, int tokensLeft) {
        return !freeSlots.isEmpty() && request.prompt().length <= tokensLeft && blocks.canAllocate(limit(request));
    }

    private StepPlan.Admission admit(Request request) {
        int slot = freeSlots.remove();
        int limit = limit(request);
        tables[slot] = blocks.allocate(limit);
        running.add(slot);
        return new StepPlan.Admission(slot, request.id(), request.params(), limit, request.prompt(), tables[slot]);
    }

    /** Most tokens the sequence can come to have. */
    private int limit(Request request) {
        return (int) Math.min((long) request.prompt().length + request.params().maxTokens(), options.maxModelLength());
    }

    /**
     * The sequence in {@code slot} is done: its slot and blocks are free for the next plan, which tells the ranks.
     *
     * @throws IllegalStateException if nothing runs there
     */
    void finish(int slot) {
        if (!running.remove((Integer) slot)) {
            throw new IllegalStateException("nothing runs in slot " + slot);
        }
        blocks.free(tables[slot]);
        freeSlots.addFirst(slot);
        released.add(slot);
    }
}
