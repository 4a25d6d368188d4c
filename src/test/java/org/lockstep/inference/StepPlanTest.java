package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.DataType;

class StepPlanTest {
    private static final GeneratorOptions OPTIONS = new GeneratorOptions(32, 4, 40, 4, 32, DataType.F32, true);
    private static final SamplingParams PARAMS = SamplingParams.DEFAULT
            .withTemperature(0.7)
            .withTopP(0.9)
            .withTopK(40)
            .withMinP(0.05)
            .withPresencePenalty(-0.5)
            .withFrequencyPenalty(0.25)
            .withRepetitionPenalty(1.3)
            .withMaxTokens(9)
            .withMinTokens(2)
            .withSeed(-0x123456789abcdefL)
            .withStopTokenIds(List.of(3, 70_000))
            .withIgnoreEos(true);

    private static StepPlan sample() {
        return new StepPlan(
                false,
                new int[] {2, 0},
                List.of(
                        new StepPlan.Admission(
                                2, -5L << 40, PARAMS, 9, new int[] {1, 2, 3, 4, 5, 6}, 3, 4, new int[] {31, 0}),
                        new StepPlan.Admission(0, 6, SamplingParams.greedy(), 2, new int[] {9}, 1, 0, new int[] {1})),
                new int[] {3},
                new int[] {30},
                new int[] {1, 2, 0},
                new int[] {1, 3, 1});
    }

    private static StepPlan read(int[] ints) {
        return new PlanReader(OPTIONS, 1).read(ints, 0, ints.length);
    }

    @Test
    void whatWasWrittenIsRead() {
        StepPlan read = read(sample().encode());
        assertThat(read.end()).isFalse();
        assertThat(read.released()).containsExactly(2, 0);
        assertThat(read.grown()).containsExactly(3);
        assertThat(read.grownBlocks()).containsExactly(30);
        assertThat(read.slots()).containsExactly(1, 2, 0);
        assertThat(read.counts()).containsExactly(1, 3, 1);
        assertThat(read.tokens()).isEqualTo(5);
        assertThat(read.admitted()).hasSize(2);
        StepPlan.Admission first = read.admitted().get(0);
        assertThat(first.slot()).isEqualTo(2);
        assertThat(first.id()).isEqualTo(-5L << 40);
        assertThat(first.limit()).isEqualTo(9);
        assertThat(first.tokens()).containsExactly(1, 2, 3, 4, 5, 6);
        assertThat(first.promptTokens()).isEqualTo(3);
        assertThat(first.computed()).isEqualTo(4);
        assertThat(first.blocks()).containsExactly(31, 0);
        assertThat(first.params()).isEqualTo(PARAMS);
        assertThat(read(StepPlan.last().encode()).end()).isTrue();
    }

    @Test
    void theLargestPlanFitsTheLimit() {
        List<Integer> stops =
                IntStream.range(0, SamplingParams.MOST_STOPS).boxed().toList();
        SamplingParams params = PARAMS.withStopTokenIds(stops);
        List<StepPlan.Admission> all = new ArrayList<>();
        for (int slot = 0; slot < 4; slot++) {
            int from = slot * 8;
            int[] blocks = IntStream.range(from, from + 8).toArray();
            all.add(new StepPlan.Admission(slot, slot, params, 32, new int[31], 9, 0, blocks));
        }
        int[] slots = {0, 1, 2, 3};
        StepPlan plan =
                new StepPlan(false, slots, all, slots, new int[] {8, 9, 10, 11}, slots, new int[] {10, 10, 10, 10});
        assertThat(plan.encode().length).isBetween(StepPlan.encodedLimit(OPTIONS) - 10, StepPlan.encodedLimit(OPTIONS));
        assertThat(read(plan.encode()).encode()).isEqualTo(plan.encode());
    }

    @Test
    void aStepThatDecodesIsAFewInts() {
        GeneratorOptions options = GeneratorOptions.of(1024).withMaxSequences(64);
        int[] slots = IntStream.range(0, 64).toArray();
        int[] ones = new int[64];
        Arrays.fill(ones, 1);
        int[] few = Arrays.copyOf(slots, 16);
        StepPlan plan = new StepPlan(false, new int[0], List.of(), few, few, slots, ones);
        assertThat(plan.encode().length).isEqualTo(StepPlan.encodedDecode(options));
    }

    @Test
    void everyShorterOrLongerArrayIsRefused() {
        int[] ints = sample().encode();
        for (int length = 0; length < ints.length; length++) {
            int[] cut = Arrays.copyOf(ints, length);
            assertThatThrownBy(() -> read(cut))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("a step plan of " + cut.length + " ints is wrong");
        }
        int[] longer = Arrays.copyOf(ints, ints.length + 1);
        assertThatThrownBy(() -> read(longer)).hasMessageContaining("1 ints are left over");
    }

    @Test
    void anyIntMayBeAnythingAndTheWorstIsAProtocolError() {
        Random random = new Random(5);
        int[] sound = sample().encode();
        int[] values = {Integer.MIN_VALUE, -1, 0, 1, 2, 3, 4, 5, 31, 32, 33, 1 << 20, Integer.MAX_VALUE};
        for (int round = 0; round < 50_000; round++) {
            int[] ints = sound.clone();
            for (int i = 1 + random.nextInt(3); i > 0; i--) {
                ints[random.nextInt(ints.length)] =
                        random.nextInt(4) == 0 ? random.nextInt() : values[random.nextInt(values.length)];
            }
            try {
                StepPlan plan = read(ints);
                assertThat(plan.tokens()).isLessThanOrEqualTo(OPTIONS.maxTokensPerStep());
                assertThat(Arrays.stream(plan.slots())).allMatch(slot -> slot >= 0 && slot < OPTIONS.maxSequences());
            } catch (LockstepException refused) {
                assertThat(refused.code()).isEqualTo(ErrorCode.PROTOCOL);
            }
        }
    }

    @Test
    void namesWhatIsWrong() {
        int[] ints = sample().encode();
        ints[4] = 5;
        assertThatThrownBy(() -> read(ints)).hasMessageContaining("sequences (5) at 4 is not in 0..4");
        int[] none = {};
        StepPlan twice = new StepPlan(false, new int[] {1, 1}, List.of(), none, none, none, none);
        assertThatThrownBy(() -> read(twice.encode())).hasMessageContaining("released slots [1, 1] are not distinct");
    }
}
