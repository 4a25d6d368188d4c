package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Tensor;

@Timeout(120)
class GeneratorTest {
    private static final SamplingParams GREEDY = SamplingParams.greedy().withMaxTokens(64);
    private static final Fable.Golden GOLDEN = Fable.golden().get(0); // ", a quiet donkey named Gus lived in a small …"

    private static Completion complete(SamplingParams params) {
        return LocalReplicas.fable(1, 1, 1)
                .complete(List.of(new Request(0, GOLDEN.promptIds(), params)))
                .get(0);
    }

    @Test
    void aStopStringEndsTheText() {
        Completion completion = complete(GREEDY.withStop(List.of("lived in", "never")));
        assertThat(completion.text()).isEqualTo(", a quiet donkey named Gus ");
        assertThat(completion.finishReason()).isEqualTo(FinishReason.STOP);
        assertThat(completion.stopReason()).isEqualTo("lived in");
        assertThat(completion.outputTokens()).isLessThan(12);
        assertThat(completion.promptTokens()).isEqualTo(4);
        assertThat(complete(GREEDY.withStop(List.of("lived in")).withIncludeStopStrInOutput(true))
                        .text())
                .isEqualTo(", a quiet donkey named Gus lived in");
    }

    @Test
    void aStopStringInTheLastTokenIsAStop() {
        Completion whole = complete(GREEDY.withMaxTokens(5));
        assertThat(whole.finishReason()).isEqualTo(FinishReason.LENGTH);
        String last = whole.text().substring(whole.text().length() - 1);
        Completion completion = complete(GREEDY.withMaxTokens(5).withStop(List.of(last)));
        assertThat(completion.finishReason()).isEqualTo(FinishReason.STOP);
        assertThat(completion.stopReason()).isEqualTo(last);
    }

    @Test
    void aStopTokenEndsTheOutputAndIsNotInItsText() {
        Completion completion = complete(GREEDY.withStopTokenIds(List.of(GOLDEN.greedyIds()[3])));
        assertThat(completion.tokens()).isEqualTo(Arrays.copyOf(GOLDEN.greedyIds(), 4));
        assertThat(completion.text()).isEqualTo(", a quiet");
        assertThat(completion.finishReason()).isEqualTo(FinishReason.STOP);
        assertThat(completion.stopReason()).isEqualTo(Integer.toString(GOLDEN.greedyIds()[3]));
    }

    /** As vLLM has it; the stop strings only decide whether the text is made token by token. */
    @ParameterizedTest
    @ValueSource(strings = {"", "never"})
    void theTextOfATokenThatEndsTheOutputIsKeptIfAsked(String stop) {
        SamplingParams kept = GREEDY.withMaxTokens(500)
                .withStop(stop.isEmpty() ? List.of() : List.of(stop))
                .withIncludeStopStrInOutput(true);
        Completion completion = complete(kept.withStopTokenIds(List.of(GOLDEN.greedyIds()[3])));
        assertThat(completion.tokens()).isEqualTo(Arrays.copyOf(GOLDEN.greedyIds(), 4));
        assertThat(completion.text()).isEqualTo(", a quiet donkey");
        assertThat(completion.finishReason()).isEqualTo(FinishReason.STOP);
        assertThat(completion.stopReason()).isEqualTo(Integer.toString(GOLDEN.greedyIds()[3]));
        String plain = complete(GREEDY.withMaxTokens(500)).text();
        assertThat(complete(kept).text()).as("a special token is left out").isEqualTo(plain);
        assertThat(complete(kept.withSkipSpecialTokens(false)).text()).isEqualTo(plain + "<|endoftext|>");
    }

    /** In the text of the token that ends the output. */
    @Test
    void aStopStringInAStopTokenThatIsKeptIsWhatEndedIt() {
        Completion completion = complete(GREEDY.withStop(List.of("donk"))
                .withStopTokenIds(List.of(GOLDEN.greedyIds()[3]))
                .withIncludeStopStrInOutput(true));
        assertThat(completion.text()).isEqualTo(", a quiet donk");
        assertThat(completion.stopReason()).isEqualTo("donk");
    }

    @Test
    void theModelsEndTokenEndsTheOutputUnlessIgnored() {
        Completion ended = complete(GREEDY.withMaxTokens(500));
        assertThat(ended.finishReason()).isEqualTo(FinishReason.STOP);
        assertThat(ended.stopReason()).isNull();
        assertThat(ended.tokens()[ended.outputTokens() - 1]).isEqualTo(Fable.END);
        assertThat(Arrays.stream(ended.tokens()).filter(id -> id == Fable.END)).hasSize(1);
        assertThat(ended.text()).startsWith(GOLDEN.greedyText()).doesNotContain("endoftext");
        Completion ignored =
                complete(GREEDY.withMaxTokens(ended.outputTokens() + 5).withIgnoreEos(true));
        assertThat(ignored.finishReason()).isEqualTo(FinishReason.LENGTH);
        assertThat(ignored.tokens()).hasSize(ended.outputTokens() + 5).startsWith(ended.tokens());
    }

    @Test
    void theOutputEndsAtMaxTokensOrAtTheGreatestLengthOfTheModel() {
        Completion one = complete(GREEDY.withMaxTokens(1));
        assertThat(one.tokens()).containsExactly(GOLDEN.greedyIds()[0]);
        Completion capped = LocalReplicas.fable(1, 1, 1)
                .with(GeneratorOptions.of(20))
                .complete(List.of(new Request(0, GOLDEN.promptIds(), GREEDY)))
                .get(0);
        assertThat(capped.tokens()).isEqualTo(Arrays.copyOf(GOLDEN.greedyIds(), 16));
        assertThat(capped.finishReason()).isEqualTo(FinishReason.LENGTH);
    }

    @Test
    void aPromptOfTheGreatestLengthGetsOneToken() {
        int[] prompt = new int[511];
        Arrays.fill(prompt, 259);
        Completion completion = LocalReplicas.fable(1, 1, 1)
                .complete(List.of(new Request(0, prompt, GREEDY)))
                .get(0);
        assertThat(completion.outputTokens()).isEqualTo(1);
        assertThat(completion.promptTokens()).isEqualTo(511);
    }

    @Test
    void aRepetitionPenaltyGivesMoreDifferentTokens() {
        SamplingParams free = GREEDY.withIgnoreEos(true);
        long without = Arrays.stream(complete(free).tokens()).distinct().count();
        long with = Arrays.stream(complete(free.withRepetitionPenalty(3)).tokens())
                .distinct()
                .count();
        assertThat(with).isGreaterThan(without);
    }

    @Test
    void noEndTokenBeforeTheLeastNumber() {
        Completion ended = complete(GREEDY.withMaxTokens(500));
        int least = ended.outputTokens() + 3;
        Completion longer = complete(GREEDY.withMaxTokens(500).withMinTokens(least));
        assertThat(longer.outputTokens()).isGreaterThan(least);
    }

    @ParameterizedTest(name = "{0} rows over tensor {1} × pipeline {2} × data {3}")
    @CsvSource({"0,1,1,1", "0,2,2,1", "0,1,2,2", "1,1,1,2", "1,2,1,2", "3,1,2,2", "1,2,2,2", "5,1,1,4"})
    void replicasWithoutRowsTakePartAndEnd(int rows, int tensor, int pipeline, int data) {
        List<Request> requests = new ArrayList<>();
        for (int i = 0; i < rows; i++) {
            requests.add(new Request(i, GOLDEN.promptIds(), GREEDY.withMaxTokens(3 + 2 * i)));
        }
        List<Completion> all = LocalReplicas.fable(tensor, pipeline, data).complete(requests);
        assertThat(all).hasSize(rows);
        for (int i = 0; i < rows; i++) {
            assertThat(all.get(i).tokens()).isEqualTo(Arrays.copyOf(GOLDEN.greedyIds(), 3 + 2 * i));
        }
    }

    @Test
    void aGeneratorRunsAgainAndTellsItsProgress() {
        List<String> heard = new ArrayList<>();
        Generator.Listener listener = new Generator.Listener() {
            @Override
            public void onStep(StepStats stats) {
                heard.add(stats.sequences() + ":" + stats.promptTokens() + ":" + stats.outputTokens());
            }

            @Override
            public void onCompletion(Completion completion) {
                heard.add("done " + completion.id());
            }
        };
        List<Request> requests = List.of(
                new Request(5, GOLDEN.promptIds(), GREEDY.withMaxTokens(3)),
                new Request(4, Fable.golden().get(1).promptIds(), GREEDY.withMaxTokens(1)));
        List<List<Completion>> results = LocalReplicas.fable(2, 1, 1).onEveryRank((world, generator, backend) -> {
            List<Request> mine = generator.isSource() ? requests : List.of();
            List<Completion> first = generator.run(mine, listener);
            List<Completion> second = generator.run(mine);
            assertThat(second).isEqualTo(first);
            return first;
        });
        assertThat(results.get(0)).extracting(Completion::id).containsExactly(5L, 4L);
        assertThat(results.get(1)).isEmpty();
        assertThat(heard).containsExactly("2:8:2", "done 4", "1:0:1", "1:0:1", "done 5");
    }

    @Test
    void wrongRequestsAreRefusedBeforeAnythingIsSent() {
        LocalReplicas.fable(1, 1, 1).onEveryRank((world, generator, backend) -> {
            assertRefused(generator, new Request(0, new int[0], GREEDY), "request 0 of 0 tokens is not in 1..511");
            assertRefused(generator, new Request(0, new int[512], GREEDY), "request 0 of 512 tokens is not in 1..511");
            assertRefused(generator, new Request(3, new int[] {2048}, GREEDY), "token 2048, which is not in 0..2047");
            Request twice = new Request(7, new int[] {1}, GREEDY);
            assertThatThrownBy(() -> generator.run(List.of(twice, twice))).hasMessage("request id 7 comes twice");
            return null;
        });
        LocalReplicas.fable(2, 1, 1).onEveryRank((world, generator, backend) -> {
            if (!generator.isSource()) {
                assertRefused(generator, new Request(0, new int[] {1}, GREEDY), "not its replica's source");
            }
            return generator.run(List.of());
        });
        assertThatThrownBy(() -> LocalReplicas.fable(1, 1, 1)
                        .with(GeneratorOptions.of(513))
                        .complete(List.of()))
                .hasMessageContaining("maxModelLength (513) is more than the model's positions (512)");
    }

    private static void assertRefused(Generator generator, Request request, String message) {
        assertThatThrownBy(() -> generator.run(List.of(request)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
    }

    @Test
    void aFailureOfTheSamplingRankEndsAllRanksAndIsTheOneReported() {
        AtomicInteger failed = new AtomicInteger();
        LocalReplicas fable = LocalReplicas.fable(2, 2, 1);
        assertThatThrownBy(() -> fable.onEveryRank((world, generator, backend) -> {
                    Generator broken = new Generator(
                            Fable.config(),
                            new Failing(world.state().isPipelineLastStage()),
                            world.state(),
                            world.communicators(),
                            backend.kernels(),
                            null,
                            fable.options(),
                            System::nanoTime);
                    try {
                        return broken.run(
                                broken.isSource() ? List.of(new Request(9, GOLDEN.promptIds(), GREEDY)) : List.of());
                    } catch (LockstepException expected) {
                        failed.incrementAndGet();
                        throw expected;
                    }
                }))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("the device is on fire");
        assertThat(failed).hasValue(4);
    }

    /** A model whose last stage fails. */
    private record Failing(boolean last) implements Generator.ForwardPass {
        @Override
        public void exchange(int outgoing, int incoming) {}

        @Override
        public Optional<Tensor> forward(int chunk, int[] ids, BatchLayout layout, int[] logitRows) {
            if (last) {
                throw LockstepException.report(ErrorCode.DEVICE_FAULT, "the device is on fire")
                        .exception();
            }
            return Optional.empty();
        }

        @Override
        public void close() {}
    }

    @Test
    void stopStringsNeedATokenizer() {
        LocalReplicas fable = LocalReplicas.fable(1, 1, 1);
        new LocalReplicas(Fable::files, 1, 1, 1, 1, false, 1, fable.options())
                .onEveryRank((world, generator, backend) -> {
                    assertRefused(
                            generator,
                            new Request(0, new int[] {1}, GREEDY.withStop(List.of("x"))),
                            "there is no tokenizer");
                    assertThat(generator
                                    .run(List.of(new Request(0, GOLDEN.promptIds(), GREEDY)))
                                    .get(0)
                                    .text())
                            .isEmpty();
                    return null;
                });
    }
}
