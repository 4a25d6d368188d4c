package org.lockstep.inference;

import java.util.List;

/**
 * What the source rank decides for one step, and all ranks of its replica then do: who leaves, who joins, who gets another
 * block, whose tokens are computed. Immutable; the arrays are not copied and not to be changed.
 *
 * <p>A sequence is named by its slot, a number below {@code maxSequences} that is its own while it runs. Releases come
 * before admissions, so a slot can change hands in one plan. A step that only decodes is a few ints a sequence.
 *
 * @param end whether the run is over; then nothing is admitted or computed
 * @param released slots given back, by sequences that are done or put off
 * @param admitted sequences that join
 * @param grown slots whose sequences get one more block
 * @param grownBlocks those blocks
 * @param slots of the sequences computed in this step, in the order of the batch; empty where there is nothing to compute
 * @param counts how many tokens of each
 */
@SuppressWarnings("ArrayRecordComponent") // made once per step, read once: copies would only cost
record StepPlan(
        boolean end,
        int[] released,
        List<Admission> admitted,
        int[] grown,
        int[] grownBlocks,
        int[] slots,
        int[] counts) {
    private static final int FIXED = 5;
    private static final int MOST_ADMITTED_TOKENS = 1 << 22;
    private static final int[] NONE = {};

    StepPlan {
        admitted = List.copyOf(admitted);
    }

    /**
     * A sequence that joins, or joins again. Of its parameters only those that choose a token travel, not those that concern
     * its text.
     *
     * @param limit most tokens it will have, prompt included
     * @param tokens known so far: the prompt, then what it put out before it was put off
     * @param promptTokens how many of them are prompt
     * @param computed how many of them the first blocks hold already, from other sequences that begin likewise
     * @param blocks of the cache, for {@code tokens}
     */
    @SuppressWarnings("ArrayRecordComponent") // as above
    record Admission(
            int slot,
            long id,
            SamplingParams params,
            int limit,
            int[] tokens,
            int promptTokens,
            int computed,
            int[] blocks) {
        private static final int FIXED = 25;

        static Admission of(int slot, Sequence sequence) {
            return new Admission(
                    slot,
                    sequence.id(),
                    sequence.params(),
                    sequence.limit(),
                    sequence.known(),
                    sequence.promptTokens(),
                    sequence.computed(),
                    sequence.blocks());
        }

        /** What each rank holds of it. */
        Sequence sequence() {
            Sequence sequence = new Sequence(id, tokens, promptTokens, params, limit);
            sequence.start(blocks, computed);
            return sequence;
        }

        int encodedSize() {
            return FIXED + params.stopTokenIds().size() + tokens.length + blocks.length;
        }
    }

    /** The plan that ends a run. */
    static StepPlan last() {
        return new StepPlan(true, NONE, List.of(), NONE, NONE, NONE, NONE);
    }

    int tokens() {
        int sum = 0;
        for (int count : counts) {
            sum += count;
        }
        return sum;
    }

    /** The most tokens that the admissions of one plan bring, shared ones included: any one sequence, and many short ones. */
    static int mostAdmittedTokens(GeneratorOptions options) {
        long all = (long) options.maxSequences() * options.maxModelLength();
        return (int) Math.max(options.maxModelLength(), Math.min(all, MOST_ADMITTED_TOKENS));
    }

    /** No plan under these limits takes more ints. */
    static int encodedLimit(GeneratorOptions options) {
        long tokens = mostAdmittedTokens(options);
        long perSequence = 5L + Admission.FIXED + SamplingParams.MOST_STOPS + 1;
        long most = FIXED + tokens + tokens / options.blockSize() + options.maxSequences() * perSequence;
        if (most > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(options + " would allow a step plan of " + most + " ints");
        }
        return (int) most;
    }

    /** The ints of a step in which every sequence decodes, and every fourth gets a block. */
    static int encodedDecode(GeneratorOptions options) {
        return FIXED + 2 * options.maxSequences() + options.maxSequences() / 2;
    }

    /** How many ints {@link #encode} writes. */
    int encodedSize() {
        int size = FIXED + released.length + 2 * grown.length + 2 * slots.length;
        for (Admission admission : admitted) {
            size += admission.encodedSize();
        }
        return size;
    }

    int[] encode() {
        int[] ints = new int[encodedSize()];
        encode(ints, 0);
        return ints;
    }

    /** Writes what a {@link PlanReader} reads, from {@code at} on. */
    void encode(int[] ints, int at) {
        Writer to = new Writer(ints, at);
        to.put(end ? 1 : 0)
                .put(released.length)
                .put(admitted.size())
                .put(grown.length)
                .put(slots.length)
                .putAll(released);
        for (Admission admission : admitted) {
            encode(admission, to);
        }
        to.putAll(grown).putAll(grownBlocks).putAll(slots).putAll(counts);
    }

    private static void encode(Admission admission, Writer to) {
        SamplingParams params = admission.params;
        to.put(admission.slot).putLong(admission.id).put(admission.limit);
        to.putDouble(params.temperature())
                .putDouble(params.topP())
                .put(params.topK())
                .putDouble(params.minP());
        to.putDouble(params.presencePenalty()).putDouble(params.frequencyPenalty());
        to.putDouble(params.repetitionPenalty());
        to.put(params.minTokens()).putLong(params.seedOrZero()).put(params.ignoreEos() ? 1 : 0);
        to.put(params.stopTokenIds().size());
        to.put(admission.tokens.length).put(admission.promptTokens).put(admission.computed);
        params.stopTokenIds().forEach(to::put);
        to.putAll(admission.tokens).putAll(admission.blocks);
    }

    private static final class Writer {
        private final int[] ints;
        private int at;

        Writer(int[] ints, int at) {
            this.ints = ints;
            this.at = at;
        }

        Writer put(int value) {
            ints[at++] = value;
            return this;
        }

        Writer putLong(long value) {
            return put((int) (value >>> 32)).put((int) value);
        }

        Writer putDouble(double value) {
            return putLong(Double.doubleToRawLongBits(value));
        }

        Writer putAll(int[] values) {
            System.arraycopy(values, 0, ints, at, values.length);
            at += values.length;
            return this;
        }
    }
}
