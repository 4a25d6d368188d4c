package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class SchedulerTest {
    private static final GeneratorOptions OPTIONS = new GeneratorOptions(32, 3, 40, 4, 24);

    private static Request request(long id, int prompt, int maxTokens) {
        return new Request(id, new int[prompt], SamplingParams.greedy().withMaxTokens(maxTokens));
    }

    private static List<Long> ids(StepPlan plan) {
        return plan.admitted().stream().map(StepPlan.Admission::id).toList();
    }

    @Test
    void endsAtOnceWithoutRequests() {
        StepPlan plan = new Scheduler(OPTIONS).next();
        assertThat(plan.end()).isTrue();
        assertThat(plan.slots()).isEmpty();
    }

    @Test
    void prefillsWholePromptsThenDecodesOneTokenEach() {
        Scheduler scheduler = new Scheduler(OPTIONS);
        scheduler.add(request(10, 5, 4));
        scheduler.add(request(11, 7, 4));
        StepPlan first = scheduler.next();
        assertThat(ids(first)).containsExactly(10L, 11L);
        assertThat(first.slots()).containsExactly(0, 1);
        assertThat(first.counts()).containsExactly(5, 7);
        assertThat(first.admitted().get(0).limit()).isEqualTo(9);
        assertThat(first.admitted().get(0).blocks()).hasSize(3);
        StepPlan second = scheduler.next();
        assertThat(second.admitted()).isEmpty();
        assertThat(second.counts()).containsExactly(1, 1);
    }

    @Test
    void joinsWhenASlotIsFreeAndReusesItInThePlanThatReleasesIt() {
        Scheduler scheduler = new Scheduler(OPTIONS);
        for (int i = 0; i < 5; i++) {
            scheduler.add(request(i, 2, 4));
        }
        assertThat(ids(scheduler.next())).containsExactly(0L, 1L, 2L);
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
    void aPromptWaitsForTheStepsTokensAndNobodyOvertakesIt() {
        Scheduler scheduler = new Scheduler(OPTIONS);
        scheduler.add(request(0, 30, 1));
        scheduler.add(request(1, 11, 1));
        scheduler.add(request(2, 1, 1));
        assertThat(ids(scheduler.next())).containsExactly(0L);
        scheduler.finish(0);
        assertThat(ids(scheduler.next())).containsExactly(1L, 2L);
    }

    @Test
    void aPromptWaitsForBlocks() {
        Scheduler scheduler = new Scheduler(OPTIONS.withCacheBlocks(8));
        scheduler.add(request(0, 4, 20)); // 6 blocks
        scheduler.add(request(1, 4, 8)); // 3 blocks
        assertThat(ids(scheduler.next())).containsExactly(0L);
        assertThat(ids(scheduler.next())).isEmpty();
        scheduler.finish(0);
        assertThat(ids(scheduler.next())).containsExactly(1L);
    }

    @Test
    void theLimitIsCappedByTheModelsLength() {
        Scheduler scheduler = new Scheduler(OPTIONS);
        scheduler.add(request(0, 31, Integer.MAX_VALUE));
        assertThat(scheduler.next().admitted().get(0).limit()).isEqualTo(32);
        assertThatThrownBy(() -> scheduler.add(request(1, 32, 1))).hasMessageContaining("32 tokens is not in 1..31");
        assertThatThrownBy(() -> scheduler.add(request(1, 0, 1))).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> scheduler.finish(2)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void anyLoadIsDoneOnceWithinTheLimits() {
        Random random = new Random(11);
        for (int round = 0; round < 200; round++) {
            GeneratorOptions options =
                    new GeneratorOptions(32, 1 + random.nextInt(6), 32 + random.nextInt(40), 4, 8 + random.nextInt(30));
            Scheduler scheduler = new Scheduler(options);
            int requests = random.nextInt(40);
            Map<Long, Integer> left = new HashMap<>();
            for (long id = 0; id < requests; id++) {
                Request request = request(id, 1 + random.nextInt(31), 1 + random.nextInt(40));
                scheduler.add(request);
                left.put(id, 1 + random.nextInt(Math.min(request.params().maxTokens(), 32 - request.prompt().length)));
            }
            Map<Integer, StepPlan.Admission> running = new HashMap<>();
            List<Long> joined = new ArrayList<>();
            for (StepPlan plan = scheduler.next(); !plan.end(); plan = scheduler.next()) {
                assertThat(StepPlan.decode(plan.encode(), options).encode()).isEqualTo(plan.encode());
                for (int slot : plan.released()) {
                    assertThat(running.remove(slot)).isNotNull();
                }
                for (StepPlan.Admission each : plan.admitted()) {
                    assertThat(running.put(each.slot(), each)).isNull();
                    joined.add(each.id());
                }
                Set<Integer> owned = new HashSet<>();
                running.values().forEach(each -> {
                    for (int block : each.blocks()) {
                        assertThat(owned.add(block)).isTrue();
                    }
                });
                assertThat(plan.slots()).hasSize(running.size()).isNotEmpty();
                assertThat(plan.tokens()).isLessThanOrEqualTo(options.maxTokensPerStep());
                for (int slot : plan.slots()) {
                    long id = running.get(slot).id();
                    if (left.merge(id, -1, Integer::sum) == 0) {
                        scheduler.finish(slot);
                    }
                }
            }
            assertThat(joined).hasSize(requests).isSorted();
            assertThat(left.values()).allMatch(n -> n == 0);
            assertThat(scheduler.isIdle()).isTrue();
        }
    }
}
