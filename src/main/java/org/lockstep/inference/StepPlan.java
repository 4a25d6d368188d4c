package org.lockstep.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What the source rank decides for one step, and all ranks of its replica then do: who leaves, who joins, whose tokens are
 * computed. Immutable; the arrays are not copied and not to be changed.
 *
 * <p>A sequence is named by its slot, a number below {@code maxSequences} that is its own while it runs. Releases come
 * before admissions, so a slot can change hands in one plan.
 *
 * @param end whether the run is over; then nothing is admitted or computed
 * @param released slots given back
 * @param admitted sequences that join
 * @param slots of the sequences computed in this step, in the order of the batch
 * @param counts how many tokens of each
 */
@SuppressWarnings("ArrayRecordComponent") // made once per step, read once: copies would only cost
record StepPlan(boolean end, int[] released, List<Admission> admitted, int[] slots, int[] counts) {
    private static final int FIXED = 4;

    StepPlan {
        admitted = List.copyOf(admitted);
    }

    /**
     * A sequence that joins. Of its parameters only those that choose a token travel, not those that concern its text.
     *
     * @param limit most tokens it will have, prompt included
     * @param blocks of the cache, for {@code limit} tokens
     */
    @SuppressWarnings("ArrayRecordComponent") // as above
    record Admission(int slot, long id, SamplingParams params, int limit, int[] prompt, int[] blocks) {
        private static final int FIXED = 23;

        int encodedSize() {
            return FIXED + params.stopTokenIds().size() + prompt.length + blocks.length;
        }
    }

    int tokens() {
        return Arrays.stream(counts).sum();
    }

    /** The most ints that a plan under these limits takes. */
    static int encodedLimit(GeneratorOptions options) {
        long perSequence = 3L + Admission.FIXED + SamplingParams.MOST_STOPS + options.blocksPerSequence();
        long most = FIXED + options.maxTokensPerStep() + options.maxSequences() * perSequence;
        if (most > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(options + " would allow a step plan of " + most + " ints");
        }
        return (int) most;
    }

    int[] encode() {
        int size = FIXED + released.length + 2 * slots.length;
        for (Admission admission : admitted) {
            size += admission.encodedSize();
        }
        Writer to = new Writer(size);
        to.put(end ? 1 : 0)
                .put(released.length)
                .put(admitted.size())
                .put(slots.length)
                .putAll(released);
        for (Admission admission : admitted) {
            encode(admission, to);
        }
        to.putAll(slots).putAll(counts);
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
        to.put(params.stopTokenIds().size()).put(admission.prompt.length);
        params.stopTokenIds().forEach(to::put);
        to.putAll(admission.prompt).putAll(admission.blocks);
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
        int slotCount = from.next("sequences", 0, end ? 0 : most);
        int[] released = from.nextDistinct("released slot", releasedCount, most);
        List<Admission> admitted = new ArrayList<>(admittedCount);
        boolean[] joined = new boolean[most];
        for (int i = 0; i < admittedCount; i++) {
            Admission admission = readAdmission(from, options);
            if (joined[admission.slot]) {
                throw new IllegalArgumentException("admitted slot " + admission.slot + " comes twice");
            }
            joined[admission.slot] = true;
            admitted.add(admission);
        }
        int[] slots = from.nextDistinct("slot", slotCount, most);
        int[] counts = new int[slotCount];
        int left = options.maxTokensPerStep();
        for (int i = 0; i < slotCount; i++) {
            counts[i] = from.next("count", 1, left);
            left -= counts[i];
        }
        from.end();
        return new StepPlan(end, released, admitted, slots, counts);
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
        int promptTokens = from.next("prompt tokens", 1, limit - 1);
        List<Integer> stopTokenIds = new ArrayList<>(stops);
        for (int i = 0; i < stops; i++) {
            stopTokenIds.add(from.next("stop token", 0, Integer.MAX_VALUE));
        }
        int[] prompt = from.nextInts("token", promptTokens, Integer.MAX_VALUE);
        int blockCount = (limit + options.blockSize() - 1) / options.blockSize();
        int[] blocks = from.nextDistinct("block", blockCount, options.cacheBlocks());
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
        return new Admission(slot, id, params, limit, prompt, blocks);
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
            if (Arrays.stream(values).distinct().count() != count) {
                throw new IllegalArgumentException(what + "s " + Arrays.toString(values) + " are not distinct");
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
