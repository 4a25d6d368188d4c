package org.lockstep.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * Reads the plans that {@link StepPlan#encode} wrote, and checks every number against the limits before it is used. The plan
 * of a step that decodes what another did shares that one's arrays. Mutable; confined to its rank's thread.
 */
final class PlanReader {
    private final GeneratorOptions options;
    private final BitSet seen = new BitSet();
    private final BitSet joined = new BitSet();
    private final int[] scratch;
    private final RecentInts recentSlots;
    private final RecentInts recentCounts;

    private int[] ints = {};
    private int at;
    private int start;
    private int end;

    /** @param lanes most micro-batches in flight; at least 1 */
    PlanReader(GeneratorOptions options, int lanes) {
        this.options = options;
        this.scratch = new int[options.maxSequences()];
        this.recentSlots = new RecentInts(lanes);
        this.recentCounts = new RecentInts(lanes);
    }

    /**
     * Reads one plan.
     *
     * @param from where it stands, {@code length} ints from {@code first} on; not kept
     * @throws LockstepException PROTOCOL if anything is out of range, too short or too long
     */
    StepPlan read(int[] from, int first, int length) {
        ints = from;
        start = first;
        at = first;
        end = first + length;
        try {
            return plan();
        } catch (IllegalArgumentException wrong) {
            throw LockstepException.report(
                            ErrorCode.PROTOCOL, "a step plan of " + length + " ints is wrong: " + wrong.getMessage())
                    .cause(wrong)
                    .exception();
        }
    }

    private StepPlan plan() {
        int most = options.maxSequences();
        boolean last = next("end", 0, 1) == 1;
        int releasedCount = next("releases", 0, most);
        int admittedCount = next("admissions", 0, last ? 0 : most);
        int grownCount = next("new blocks", 0, last ? 0 : most);
        int slotCount = next("sequences", 0, last ? 0 : most);
        int[] released = distinct("released slot", releasedCount, most);
        List<StepPlan.Admission> admitted = admittedCount == 0 ? List.of() : admissions(admittedCount);
        int[] grown = distinct("growing slot", grownCount, most);
        int[] grownBlocks = ints("new block", grownCount, options.cacheBlocks() - 1);
        fill("slot", slotCount, most - 1, scratch);
        requireDistinct("slot", scratch, slotCount);
        int[] slots = recentSlots.of(scratch, slotCount);
        int left = options.maxTokensPerStep();
        for (int i = 0; i < slotCount; i++) {
            scratch[i] = next("count", 1, left);
            left -= scratch[i];
        }
        int[] counts = recentCounts.of(scratch, slotCount);
        if (at != end) {
            throw new IllegalArgumentException((end - at) + " ints are left over");
        }
        return new StepPlan(last, released, admitted, grown, grownBlocks, slots, counts);
    }

    private List<StepPlan.Admission> admissions(int count) {
        List<StepPlan.Admission> admitted = new ArrayList<>(count);
        joined.clear();
        for (int i = 0; i < count; i++) {
            StepPlan.Admission admission = admission();
            if (joined.get(admission.slot())) {
                throw new IllegalArgumentException("admitted slot " + admission.slot() + " comes twice");
            }
            joined.set(admission.slot());
            admitted.add(admission);
        }
        return admitted;
    }

    private StepPlan.Admission admission() {
        int slot = next("admitted slot", 0, options.maxSequences() - 1);
        long id = nextLong();
        int limit = next("limit", 2, options.maxModelLength());
        double temperature = nextDouble();
        double topP = nextDouble();
        int topK = next("topK", 0, Integer.MAX_VALUE);
        double minP = nextDouble();
        double presence = nextDouble();
        double frequency = nextDouble();
        double repetition = nextDouble();
        int minTokens = next("minTokens", 0, Integer.MAX_VALUE);
        long seed = nextLong();
        boolean ignoreEos = next("ignoreEos", 0, 1) == 1;
        int stops = next("stop tokens", 0, SamplingParams.MOST_STOPS);
        int size = next("tokens", 1, limit - 1);
        int promptTokens = next("prompt tokens", 1, size);
        int computed = next("computed tokens", 0, size - 1);
        List<Integer> stopTokenIds = new ArrayList<>(stops);
        for (int i = 0; i < stops; i++) {
            stopTokenIds.add(next("stop token", 0, Integer.MAX_VALUE));
        }
        int[] tokens = ints("token", size, Integer.MAX_VALUE);
        int[] blocks = distinct("block", options.blocksFor(size), options.cacheBlocks());
        SamplingParams params = SamplingParams.DEFAULT
                .withTemperature(temperature)
                .withTopP(topP)
                .withTopK(topK)
                .withMinP(minP)
                .withPresencePenalty(presence)
                .withFrequencyPenalty(frequency)
                .withRepetitionPenalty(repetition)
                .withMaxTokens(Math.max(minTokens, limit))
                .withMinTokens(minTokens)
                .withSeed(seed)
                .withIgnoreEos(ignoreEos)
                .withStopTokenIds(stopTokenIds);
        return new StepPlan.Admission(slot, id, params, limit, tokens, promptTokens, computed, blocks);
    }

    private int raw() {
        if (at == end) {
            throw new IllegalArgumentException("it ends too soon");
        }
        return ints[at++];
    }

    private int next(String what, int least, int most) {
        int value = raw();
        if (value < least || value > most) {
            throw new IllegalArgumentException(
                    what + " (" + value + ") at " + (at - 1 - start) + " is not in " + least + ".." + most);
        }
        return value;
    }

    private long nextLong() {
        long high = raw();
        return high << 32 | Integer.toUnsignedLong(raw());
    }

    private double nextDouble() {
        return Double.longBitsToDouble(nextLong());
    }

    private int[] ints(String what, int count, int most) {
        if (count > end - at) { // before as much is allocated
            throw new IllegalArgumentException("it ends before " + count + " × " + what);
        }
        int[] values = new int[count];
        fill(what, count, most, values);
        return values;
    }

    private void fill(String what, int count, int most, int[] values) {
        for (int i = 0; i < count; i++) {
            values[i] = next(what, 0, most);
        }
    }

    private int[] distinct(String what, int count, int below) {
        int[] values = ints(what, count, below - 1);
        requireDistinct(what, values, count);
        return values;
    }

    private void requireDistinct(String what, int[] values, int count) {
        seen.clear();
        for (int i = 0; i < count; i++) {
            if (seen.get(values[i])) {
                throw new IllegalArgumentException(
                        what + "s " + Arrays.toString(Arrays.copyOf(values, count)) + " are not distinct");
            }
            seen.set(values[i]);
        }
    }
}
