package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.lockstep.FaultCase;
import org.lockstep.tensor.DataType;

class SchedulerTest {
    private static final GeneratorOptions OPTIONS = new GeneratorOptions(32, 3, 40, 4, 24, DataType.F32, false);

    private static Request request(long id, int prompt, int maxTokens) {
        int[] tokens = new int[prompt];
        Arrays.fill(tokens, (int) id);
        return new Request(id, tokens, SamplingParams.greedy().withMaxTokens(maxTokens));
    }

    private static Scheduler scheduler(GeneratorOptions options, Request... requests) {
        Scheduler scheduler = new Scheduler(options, 1);
        for (Request request : requests) {
            scheduler.add(request);
        }
        return scheduler;
    }

    private static List<Long> ids(StepPlan plan) {
        return plan.admitted().stream().map(StepPlan.Admission::id).toList();
    }

    /** The step is done; the sequences in these slots go on with a token. */
    private static void land(Scheduler scheduler, StepPlan plan, int... sampled) {
        scheduler.land(plan.slots());
        for (int slot : sampled) {
            scheduler.append(slot, 5);
        }
    }

    @Test
    void withoutRequestsThereIsNothingToDo() {
        Scheduler scheduler = new Scheduler(OPTIONS, 1);
        assertThat(scheduler.isIdle()).isTrue();
        assertThat(scheduler.room()).isEqualTo(3);
        assertThat(scheduler.next().slots()).isEmpty();
    }

    @Test
    void thereIsRoomForAsManyAsTheCacheHolds() {
        Scheduler scheduler = new Scheduler(
                OPTIONS.withMaxSequences(32).withMaxTokensPerStep(64).withCacheBlocks(20), 1);
        assertThat(scheduler.room()).as("of the longest, 8 blocks each").isEqualTo(2);
        scheduler.add(request(0, 20, 9));
        assertThat(scheduler.room()).as("like it, 5 blocks each").isEqualTo(3);
        scheduler.add(request(1, 4, 9));
        assertThat(scheduler.room()).as("3 blocks on the average").isEqualTo(4);
        StepPlan plan = scheduler.next();
        assertThat(ids(plan)).containsExactly(0L, 1L);
        assertThat(scheduler.room()).isEqualTo(4);
        land(scheduler, plan, 0, 1);
        scheduler.finish(0);
        assertThat(scheduler.room()).as("1 block each").isEqualTo(19);
    }

    @Test
    void prefillsThenDecodesOneTokenEach() {
        Scheduler scheduler = scheduler(OPTIONS, request(10, 5, 4), request(11, 7, 4));
        assertThat(scheduler.room()).isEqualTo(1);
        StepPlan first = scheduler.next();
        assertThat(ids(first)).containsExactly(10L, 11L);
        assertThat(first.slots()).containsExactly(0, 1);
        assertThat(first.counts()).containsExactly(5, 7);
        assertThat(first.admitted().get(0).limit()).isEqualTo(9);
        assertThat(first.admitted().get(0).blocks()).as("no more than it needs").hasSize(2);
        land(scheduler, first, 0, 1);
        StepPlan second = scheduler.next();
        assertThat(second.admitted()).isEmpty();
        assertThat(second.counts()).containsExactly(1, 1);
        assertThat(second.grown()).isEmpty();
        assertThat(scheduler.stats(2, 2)).isEqualTo(new StepStats(2, 12, 0, 2, 0));
        assertThat(scheduler.stats(2, 2)).isEqualTo(new StepStats(2, 0, 0, 2, 0));
    }

    @Test
    void whatIsOnItsWayIsNotPlannedAgain() {
        Scheduler scheduler = scheduler(OPTIONS, request(0, 5, 4));
        StepPlan first = scheduler.next();
        assertThat(scheduler.next().slots()).isEmpty();
        assertThatThrownBy(() -> scheduler.finish(0)).hasMessageContaining("slot 0 is in flight");
        land(scheduler, first, 0);
        assertThat(scheduler.next().counts()).containsExactly(1);
    }

    @Test
    void joinsWhenASlotIsFreeAndReusesItInThePlanThatReleasesIt() {
        Request[] requests = new Request[5];
        Arrays.setAll(requests, i -> request(i, 2, 4));
        Scheduler scheduler = scheduler(OPTIONS, requests);
        StepPlan first = scheduler.next();
        assertThat(ids(first)).containsExactly(0L, 1L, 2L);
        land(scheduler, first, 0, 1, 2);
        scheduler.finish(1);
        StepPlan plan = scheduler.next();
        assertThat(plan.released()).containsExactly(1);
        assertThat(ids(plan)).containsExactly(3L);
        assertThat(plan.admitted().get(0).slot()).isEqualTo(1);
        assertThat(plan.slots()).containsExactly(0, 2, 1);
        assertThat(plan.counts()).containsExactly(1, 1, 2);
        assertThat(scheduler.next().released()).isEmpty();
    }

    @Test
    void aLongPromptIsComputedInChunksBesideDecodes() {
        GeneratorOptions narrow = OPTIONS.withMaxTokensPerStep(8);
        Scheduler scheduler = scheduler(narrow, request(0, 3, 9), request(1, 20, 9), request(2, 1, 9));
        StepPlan plan = scheduler.next();
        assertThat(ids(plan)).containsExactly(0L, 1L);
        assertThat(plan.counts()).containsExactly(3, 5);
        land(scheduler, plan, 0);
        plan = scheduler.next();
        assertThat(plan.counts()).containsExactly(1, 7);
        assertThat(plan.admitted()).as("no tokens are left for the third").isEmpty();
        land(scheduler, plan, 0);
        plan = scheduler.next();
        assertThat(plan.counts()).containsExactly(1, 7);
        land(scheduler, plan, 0);
        plan = scheduler.next();
        assertThat(plan.slots()).containsExactly(0, 1, 2);
        assertThat(plan.counts()).as("the prompt's last token").containsExactly(1, 1, 1);
        assertThat(scheduler.stats(3, 3).promptTokens()).isEqualTo(24);
    }

    @Test
    void nobodyOvertakesTheFirstInLine() {
        Scheduler scheduler =
                scheduler(OPTIONS.withCacheBlocks(8), request(0, 20, 1), request(1, 24, 1), request(2, 1, 1));
        StepPlan plan = scheduler.next();
        assertThat(ids(plan))
                .as("five of eight blocks are taken, the second needs six")
                .containsExactly(0L);
        land(scheduler, plan, 0);
        scheduler.finish(0);
        assertThat(ids(scheduler.next())).containsExactly(1L, 2L);
    }

    @Test
    @FaultCase("F58")
    void theLatestIsPutOffWhenBlocksRunOutAndComesBackWithItsOutput() {
        Scheduler scheduler = scheduler(OPTIONS.withCacheBlocks(8), request(0, 15, 17), request(1, 15, 17));
        StepPlan plan = scheduler.next();
        assertThat(plan.admitted()).hasSize(2);
        land(scheduler, plan, 0, 1); // 16 tokens each: all eight blocks are full
        plan = scheduler.next();
        assertThat(plan.counts()).containsExactly(1, 1);
        land(scheduler, plan, 0, 1);
        plan = scheduler.next();
        assertThat(plan.released()).containsExactly(1);
        assertThat(plan.admitted()).as("it would only take what was wanted").isEmpty();
        assertThat(plan.grown()).containsExactly(0);
        assertThat(plan.slots()).containsExactly(0);
        assertThat(scheduler.room()).as("one waits for blocks already").isZero();
        assertThat(scheduler.stats(1, 1).preemptions()).isEqualTo(1);
        land(scheduler, plan, 0);
        plan = scheduler.next();
        assertThat(plan.admitted()).as("its 17 tokens need five blocks").isEmpty();
        land(scheduler, plan, 0);
        scheduler.finish(0);
        plan = scheduler.next();
        StepPlan.Admission back = plan.admitted().get(0);
        assertThat(back.id()).isEqualTo(1);
        assertThat(back.tokens()).hasSize(17).endsWith(5, 5);
        assertThat(back.promptTokens()).isEqualTo(15);
        assertThat(back.limit()).isEqualTo(32);
        assertThat(plan.counts()).containsExactly(17);
    }

    @Test
    void sequencesAdmittedTogetherShareTheirBeginning() {
        int[] prompt = new int[12];
        Request[] requests = new Request[3];
        Arrays.setAll(requests, i -> new Request(i, prompt, SamplingParams.greedy()));
        Scheduler scheduler = scheduler(OPTIONS.withEnablePrefixCaching(true), requests);
        StepPlan plan = scheduler.next();
        assertThat(plan.counts()).containsExactly(12, 4, 4);
        assertThat(plan.admitted()).extracting(StepPlan.Admission::computed).containsExactly(0, 8, 8);
        int[] first = plan.admitted().get(0).blocks();
        assertThat(plan.admitted().get(2).blocks())
                .startsWith(first[0], first[1])
                .doesNotContain(first[2]);
        assertThat(scheduler.stats(3, 3)).isEqualTo(new StepStats(3, 20, 16, 3, 0));
    }

    /** The promise of the issue: what 200 rows have in common is computed once. */
    @Test
    void aPrefixOf400TokensIsComputedOnceFor200Rows() {
        GeneratorOptions options = GeneratorOptions.of(512).withMaxSequences(32);
        int[] computed = new int[2];
        for (boolean shares : new boolean[] {false, true}) {
            Scheduler scheduler = new Scheduler(options.withEnablePrefixCaching(shares), 1);
            for (int row = 0; row < 200; row++) {
                int[] prompt = new int[410];
                Arrays.fill(prompt, 400, 410, 1000 + row);
                scheduler.add(new Request(row, prompt, SamplingParams.greedy().withMaxTokens(20)));
            }
            int done = 0;
            while (!scheduler.isIdle()) {
                done += step(scheduler, options);
            }
            assertThat(done).isEqualTo(200);
            computed[shares ? 1 : 0] = scheduler.stats(0, 0).promptTokens();
        }
        assertThat(computed[0]).isEqualTo(200 * 410);
        assertThat(computed[1]).isLessThanOrEqualTo(computed[0] / 10).isEqualTo(400 + 200 * 10);
    }

    /** Ragged outputs, counted in steps: those that are done make room at once, instead of waiting for the longest. */
    @Test
    void oneBatchAtATimeTakesHalfAsManyStepsMore() {
        int rows = 160;
        int together = 16;
        Random random = new Random(9);
        int[] outputs = random.ints(rows, 1, 100).toArray();
        GeneratorOptions options = GeneratorOptions.of(512).withMaxSequences(together);
        Scheduler scheduler = new Scheduler(options, 1);
        for (int row = 0; row < rows; row++) {
            scheduler.add(request(row, 1, outputs[row]));
        }
        int steps = 0;
        for (; !scheduler.isIdle(); steps++) {
            step(scheduler, options);
        }
        int batches = 0;
        for (int row = 0; row < rows; row += together) {
            batches += Arrays.stream(outputs, row, row + together).max().orElseThrow();
        }
        assertThat(10 * batches).as("1.5 times as many").isGreaterThan(15 * steps);
        assertThat(steps).isLessThan(Arrays.stream(outputs).sum() / together + 100);
    }

    private final int[] sizes = new int[32]; // known tokens by slot
    private final int[] known = new int[32]; // computed tokens by slot
    private final int[] limits = new int[32];

    /** One step in which every sequence that is computed to its end goes on, and is done when it is full. */
    private int step(Scheduler scheduler, GeneratorOptions options) {
        StepPlan plan = scheduler.next();
        assertThat(plan.tokens()).isBetween(1, options.maxTokensPerStep());
        for (StepPlan.Admission each : plan.admitted()) {
            sizes[each.slot()] = each.tokens().length;
            limits[each.slot()] = each.limit();
            known[each.slot()] = each.computed();
        }
        scheduler.land(plan.slots());
        int done = 0;
        for (int i = 0; i < plan.slots().length; i++) {
            int slot = plan.slots()[i];
            known[slot] += plan.counts()[i];
            if (known[slot] == sizes[slot]) {
                scheduler.append(slot, 7);
                sizes[slot]++;
                if (sizes[slot] == limits[slot]) {
                    scheduler.finish(slot);
                    done++;
                }
            }
        }
        return done;
    }

    @Test
    void ofSeveralLanesEachGetsItsShare() {
        Scheduler scheduler = new Scheduler(OPTIONS.withMaxSequences(5), 2);
        for (int i = 0; i < 5; i++) {
            scheduler.add(request(i, 2, 9));
        }
        StepPlan first = scheduler.next();
        StepPlan second = scheduler.next();
        assertThat(ids(first)).containsExactly(0L, 1L, 2L);
        assertThat(ids(second)).containsExactly(3L, 4L);
        land(scheduler, first, 0, 1, 2);
        assertThat(scheduler.next().slots()).containsExactly(0, 1, 2);
        land(scheduler, second, 3, 4);
        scheduler.finish(3);
        scheduler.finish(4);
        StepPlan other = scheduler.next(); // nothing is left for this lane until the first comes back
        assertThat(other.slots()).isEmpty();
        land(scheduler, first, 0, 1, 2);
        assertThat(scheduler.next().slots()).as("three are shared by two lanes").containsExactly(0, 1);
        assertThat(scheduler.next().slots()).containsExactly(2);
    }

    @Test
    void theChunksOfAPromptFollowEachOtherThroughTheLanes() {
        Scheduler scheduler = new Scheduler(OPTIONS.withMaxTokensPerStep(8), 2);
        scheduler.add(request(0, 20, 9));
        StepPlan first = scheduler.next();
        StepPlan second = scheduler.next();
        assertThat(first.counts()).containsExactly(8);
        assertThat(second.counts()).containsExactly(8);
        land(scheduler, first);
        assertThat(scheduler.next().counts()).containsExactly(4);
    }

    @Test
    void theLimitIsCappedByTheModelsLength() {
        Scheduler scheduler = scheduler(OPTIONS, request(0, 31, Integer.MAX_VALUE));
        assertThat(scheduler.next().admitted().get(0).limit()).isEqualTo(32);
        assertThatThrownBy(() -> scheduler.add(request(1, 32, 1))).hasMessageContaining("32 tokens is not in 1..31");
        assertThatThrownBy(() -> scheduler.add(request(1, 0, 1))).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> scheduler.finish(2)).isInstanceOf(IllegalStateException.class);
    }
}
