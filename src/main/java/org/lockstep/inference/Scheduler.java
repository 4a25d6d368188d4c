package org.lockstep.inference;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Continuous batching: who joins, who leaves, what each step computes. The way of vLLM's V1 scheduler: there is no prefill
 * and no decode, only tokens that are known and not computed.
 *
 * <p>First come, first served. A step has so many tokens to give. Each running sequence, in order of joining, gets as many as
 * it can use and are left; then the first in line join while there are slots, blocks and tokens. Nobody overtakes, so nobody
 * starves. A sequence that outgrows its blocks when none is left takes those of the latest to join, which goes back to the
 * head of the line with all it has put out, to be computed again; where all later ones are on their way it waits for them.
 *
 * <p>Where several micro-batches are in flight, one in each lane of a pipeline, each gets its share of the sequences. Which
 * sequences those are is not fixed: what is on its way has nothing left to compute, so it is in no other lane. A prompt in
 * chunks may be in several, for a chunk does not wait for the one before.
 *
 * <p>A pure machine of numbers: it sees no text and no device. Mutable; confined to the source rank's thread.
 */
final class Scheduler {
    private final GeneratorOptions options;
    private final int lanes;
    private final int mostAdmittedTokens;
    private final BlockManager blocks;
    private final Deque<Sequence> waiting = new ArrayDeque<>();
    private final List<Running> running = new ArrayList<>(); // in order of joining
    private final @Nullable Running[] bySlot;
    private final int[] freeSlots; // a stack
    private int free;

    // the plan being made
    private final int[] released;
    private final int[] grown;
    private final int[] grownBlocks;
    private final int[] slots;
    private final int[] counts;
    private final RecentInts recentSlots;
    private final RecentInts recentCounts;
    private int releasedCount;
    private int grownCount;
    private int planned;
    private int tokensLeft;

    // since stats were last taken
    private int promptTokens;
    private int cachedTokens;
    private int preemptions;

    /** A sequence in a slot. */
    private static final class Running {
        final Sequence sequence;
        final int slot;
        int inFlight; // micro-batches that compute some of it

        Running(Sequence sequence, int slot) {
            this.sequence = sequence;
            this.slot = slot;
        }
    }

    /**
     * Nothing waits, nothing runs, the cache is empty.
     *
     * @param lanes most micro-batches in flight; at least 1
     */
    Scheduler(GeneratorOptions options, int lanes) {
        int most = options.maxSequences();
        this.options = options;
        this.lanes = lanes;
        this.mostAdmittedTokens = StepPlan.mostAdmittedTokens(options);
        this.blocks = new BlockManager(options.cacheBlocks(), options.blockSize(), options.enablePrefixCaching());
        this.bySlot = new @Nullable Running[most];
        this.freeSlots = new int[most];
        for (int i = 0; i < most; i++) {
            freeSlots[i] = most - 1 - i;
        }
        this.free = most;
        this.released = new int[most];
        this.grown = new int[most];
        this.grownBlocks = new int[most];
        this.slots = new int[most];
        this.counts = new int[most];
        this.recentSlots = new RecentInts(lanes);
        this.recentCounts = new RecentInts(lanes);
    }

    /**
     * Puts a request at the end of the line.
     *
     * @throws IllegalArgumentException if its prompt leaves no room for a token within {@code maxModelLength}
     */
    void add(Request request) {
        check(request, options);
        long limit = (long) request.prompt().length + request.params().maxTokens();
        waiting.add(new Sequence(request.id(), request.prompt(), request.prompt().length, request.params(), (int)
                Math.min(limit, options.maxModelLength())));
    }

    static void check(Request request, GeneratorOptions options) {
        int tokens = request.prompt().length;
        if (tokens < 1 || tokens >= options.maxModelLength()) {
            throw new IllegalArgumentException(request + " is not in 1.." + (options.maxModelLength() - 1) + " tokens");
        }
    }

    /**
     * How many more requests could begin soon: those that could have a slot of their own, and blocks, if they want as many
     * as those that are here do on the average; the longest where there are none.
     */
    int room() {
        int here = running.size() + waiting.size();
        int wanted = 0; // by those in line
        for (Sequence each : waiting) {
            wanted += options.blocksFor(each.size());
        }
        int used = options.cacheBlocks() - blocks.available() + wanted;
        int each = here == 0 ? options.blocksPerSequence() : Math.max(1, (used + here - 1) / here);
        int held = (blocks.available() - wanted) / each;
        return Math.max(0, Math.min(options.maxSequences() - here, held));
    }

    boolean isIdle() {
        return waiting.isEmpty() && running.isEmpty();
    }

    /**
     * Decides the next micro-batch; an empty one where everything that runs is on its way. What it admits has joined, and
     * what {@link #finish} freed has left.
     */
    StepPlan next() {
        grownCount = 0;
        planned = 0;
        tokensLeft = options.maxTokensPerStep();
        int most = share();
        boolean preempted = continueRunning(most);
        List<StepPlan.Admission> admitted = preempted ? List.of() : admit(most);
        StepPlan plan = new StepPlan(
                false,
                Arrays.copyOf(released, releasedCount),
                admitted,
                Arrays.copyOf(grown, grownCount),
                Arrays.copyOf(grownBlocks, grownCount),
                recentSlots.of(slots, planned),
                recentCounts.of(counts, planned));
        releasedCount = 0;
        return plan;
    }

    /** Most sequences of a micro-batch, so that every lane has some. */
    private int share() {
        int all = Math.min(options.maxSequences(), running.size() + waiting.size());
        return (all + lanes - 1) / lanes;
    }

    private boolean continueRunning(int most) {
        int before = preemptions;
        for (int i = 0; i < running.size() && planned < most && tokensLeft > 0; i++) {
            Running each = running.get(i);
            if (each.sequence.remaining() > 0 && hasRoom(each, i)) {
                plan(each);
            }
        }
        return preemptions > before;
    }

    /** Whether a sequence has a block for its last token, or got one. */
    private boolean hasRoom(Running each, int place) {
        if (!blocks.isOutgrown(each.sequence)) {
            return true;
        }
        while (blocks.available() == 0) {
            int last = running.size() - 1;
            while (last > place && running.get(last).inFlight > 0) {
                last--;
            }
            if (last == place) {
                return false;
            }
            preempt(last);
        }
        int block = blocks.take();
        each.sequence.addBlock(block);
        grown[grownCount] = each.slot;
        grownBlocks[grownCount++] = block;
        return true;
    }

    private void preempt(int place) {
        Running victim = running.remove(place);
        leave(victim);
        waiting.addFirst(victim.sequence);
        preemptions++;
    }

    private void leave(Running leaving) {
        blocks.release(leaving.sequence);
        bySlot[leaving.slot] = null;
        freeSlots[free++] = leaving.slot;
        released[releasedCount++] = leaving.slot;
    }

    private List<StepPlan.Admission> admit(int most) {
        List<StepPlan.Admission> admitted = List.of();
        int carried = 0;
        Sequence first = waiting.peek();
        while (first != null
                && planned < most
                && tokensLeft > 0
                && free > 0
                && first.size() <= mostAdmittedTokens - carried
                && blocks.admit(first)) {
            waiting.remove();
            Running joined = new Running(first, freeSlots[--free]);
            running.add(joined);
            bySlot[joined.slot] = joined;
            if (admitted.isEmpty()) {
                admitted = new ArrayList<>();
            }
            admitted.add(StepPlan.Admission.of(joined.slot, first));
            carried += first.size();
            cachedTokens += first.computed();
            plan(joined);
            first = waiting.peek();
        }
        return admitted;
    }

    private void plan(Running each) {
        Sequence sequence = each.sequence;
        int before = sequence.computed();
        int count = Math.min(sequence.remaining(), tokensLeft);
        sequence.advance(count);
        blocks.note(sequence, before);
        each.inFlight++;
        slots[planned] = each.slot;
        counts[planned++] = count;
        tokensLeft -= count;
        promptTokens += Math.max(0, Math.min(sequence.promptTokens(), before + count) - before);
    }

    /** The micro-batch of these slots is no longer in flight. */
    void land(int[] slots) {
        for (int slot : slots) {
            running(slot).inFlight--;
        }
    }

    /** The sequence in {@code slot}, all of whose tokens were computed, goes on with this one. */
    void append(int slot, int token) {
        running(slot).sequence.append(token);
    }

    /**
     * The sequence in {@code slot} is done: its slot and blocks are free for the next plan, which tells the ranks.
     *
     * @throws IllegalStateException if nothing runs there, or it is on its way
     */
    void finish(int slot) {
        Running done = running(slot);
        if (done.inFlight > 0) {
            throw new IllegalStateException("slot " + slot + " is in flight");
        }
        running.remove(done);
        leave(done);
    }

    private Running running(int slot) {
        Running found = bySlot[slot];
        if (found == null) {
            throw new IllegalStateException("nothing runs in slot " + slot);
        }
        return found;
    }

    /** What was decided since this was last asked, with a step's own numbers. */
    StepStats stats(int sequences, int outputTokens) {
        StepStats stats = new StepStats(sequences, promptTokens, cachedTokens, outputTokens, preemptions);
        promptTokens = 0;
        cachedTokens = 0;
        preemptions = 0;
        return stats;
    }
}
