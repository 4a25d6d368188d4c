package org.lockstep.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

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

    int[] encode() {
        int size = FIXED + released.length + 2 * grown.length + 2 * slots.length;
        for (Admission admission : admitted) {
            size += admission.encodedSize();
        }
        Writer to = new Writer(size);
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
        return to.ints;
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

    /**
     * Reads what {@link #encode} wrote, and checks every number against the limits before it is used.
     *
     * @throws LockstepException PROTOCOL if anything is out of range, too short or too long
     */
    static StepPlan decode(int[] ints, GeneratorOptions options) {
        try {
            return read(new Reader(ints), options);
        } catch (IllegalArgumentException wrong) {
            throw LockstepException.report(
                            ErrorCode.PROTOCOL,
                            "a step plan of " + ints.length + " ints is wrong: " + wrong.getMessage())
                    .cause(wrong)
                    .exception();
        }
    }

    private static StepPlan read(Reader from, GeneratorOptions options) {
        int most = options.maxSequences();
        boolean end = from.next("end", 0, 1) == 1;
        int releasedCount = from.next("releases", 0, most);
        int admittedCount = from.next("admissions", 0, end ? 0 : most);
        int grownCount = from.next("new blocks", 0, end ? 0 : most);
        int slotCount = from.next("sequences", 0, end ? 0 : most);
        int[] released = from.nextDistinct("released slot", releasedCount, most);
        List<Admission> admitted = new ArrayList<>(admittedCount);
        BitSet joined = new BitSet(most);
        for (int i = 0; i < admittedCount; i++) {
            Admission admission = readAdmission(from, options);
            if (joined.get(admission.slot)) {
                throw new IllegalArgumentException("admitted slot " + admission.slot + " comes twice");
            }
            joined.set(admission.slot);
            admitted.add(admission);
        }
        int[] grown = from.nextDistinct("growing slot", grownCount, most);
        int[] grownBlocks = from.nextInts("new block", grownCount, options.cacheBlocks() - 1);
        int[] slots = from.nextDistinct("slot", slotCount, most);
        int[] counts = new int[slotCount];
        int left = options.maxTokensPerStep();
        for (int i = 0; i < slotCount; i++) {
            counts[i] = from.next("count", 1, left);
            left -= counts[i];
        }
        from.end();
        return new StepPlan(end, released, admitted, grown, grownBlocks, slots, counts);
    }

    private static Admission readAdmission(Reader from, GeneratorOptions options) {
        int slot = from.next("admitted slot", 0, options.maxSequences() - 1);
        long id = from.nextLong();
        int limit = from.next("limit", 2, options.maxModelLength());
        double temperature = from.nextDouble();
        double topP = from.nextDouble();
        int topK = from.next("topK", 0, Integer.MAX_VALUE);
        double minP = from.nextDouble();
        double presence = from.nextDouble();
        double frequency = from.nextDouble();
        double repetition = from.nextDouble();
        int minTokens = from.next("minTokens", 0, Integer.MAX_VALUE);
        long seed = from.nextLong();
        boolean ignoreEos = from.next("ignoreEos", 0, 1) == 1;
        int stops = from.next("stop tokens", 0, SamplingParams.MOST_STOPS);
        int size = from.next("tokens", 1, limit - 1);
        int promptTokens = from.next("prompt tokens", 1, size);
        int computed = from.next("computed tokens", 0, size - 1);
        List<Integer> stopTokenIds = new ArrayList<>(stops);
        for (int i = 0; i < stops; i++) {
            stopTokenIds.add(from.next("stop token", 0, Integer.MAX_VALUE));
        }
        int[] tokens = from.nextInts("token", size, Integer.MAX_VALUE);
        int[] blocks = from.nextDistinct("block", options.blocksFor(size), options.cacheBlocks());
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
        return new Admission(slot, id, params, limit, tokens, promptTokens, computed, blocks);
    }

    private static final class Writer {
        final int[] ints;
        private int at;

        Writer(int size) {
            ints = new int[size];
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

    private static final class Reader {
        private final int[] ints;
        private final BitSet seen = new BitSet();
        private int at;

        Reader(int[] ints) {
            this.ints = ints;
        }

        private int raw() {
            if (at == ints.length) {
                throw new IllegalArgumentException("it ends too soon");
            }
            return ints[at++];
        }

        int next(String what, int least, int most) {
            int value = raw();
            if (value < least || value > most) {
                throw new IllegalArgumentException(
                        what + " (" + value + ") at " + (at - 1) + " is not in " + least + ".." + most);
            }
            return value;
        }

        long nextLong() {
            long high = raw();
            return high << 32 | Integer.toUnsignedLong(raw());
        }

        double nextDouble() {
            return Double.longBitsToDouble(nextLong());
        }

        int[] nextInts(String what, int count, int most) {
            if (count > ints.length - at) {
                throw new IllegalArgumentException("it ends before " + count + " × " + what);
            }
            int[] values = new int[count];
            for (int i = 0; i < count; i++) {
                values[i] = next(what, 0, most);
            }
            return values;
        }

        int[] nextDistinct(String what, int count, int below) {
            int[] values = nextInts(what, count, below - 1);
            seen.clear();
            for (int value : values) {
                if (seen.get(value)) {
                    throw new IllegalArgumentException(what + "s " + Arrays.toString(values) + " are not distinct");
                }
                seen.set(value);
            }
            return values;
        }

        void end() {
            if (at != ints.length) {
                throw new IllegalArgumentException((ints.length - at) + " ints are left over");
            }
        }
    }
}
