package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.LockstepException;
import org.lockstep.tensor.DataType;

/** Requests that come while others run. */
@Timeout(120)
class RequestSourceTest {
    private static final SamplingParams GREEDY = SamplingParams.greedy();
    private static final Fable.Golden GOLDEN = Fable.golden().get(0);

    /** Gives one request at every n-th question, so that the replica has nothing to do in between. */
    private static final class Trickle implements RequestSource {
        private final Deque<Request> left;
        private final int every;
        private int asked;
        private int awaited;
        private int mostAsked;

        Trickle(int every, Request... requests) {
            this.left = new ArrayDeque<>(List.of(requests));
            this.every = every;
        }

        @Override
        public List<Request> poll(int most) {
            mostAsked = Math.max(mostAsked, most);
            return ++asked % every == 0 && !left.isEmpty() ? List.of(left.remove()) : List.of();
        }

        @Override
        public boolean isDrained() {
            return left.isEmpty();
        }

        @Override
        public void await(Duration most) throws InterruptedException {
            assertThat(most).isPositive().isLessThanOrEqualTo(Duration.ofSeconds(1));
            awaited++;
        }
    }

    private static Request request(long id, int tokens) {
        return new Request(id, GOLDEN.promptIds(), GREEDY.withMaxTokens(tokens));
    }

    /** Runs the source on one replica; what its listener heard. */
    private static List<Completion> run(RequestSource source, int tensor, int pipeline) {
        List<Completion> heard = new ArrayList<>();
        Generator.Listener listener = new Generator.Listener() {
            @Override
            public void onCompletion(Completion completion) {
                heard.add(completion);
            }
        };
        LocalReplicas.fable(tensor, pipeline, 1).onEveryRank((world, generator, backend) -> {
            generator.run(generator.isSource() ? source : RequestSource.of(List.of()), listener);
            assertThat(generator.times().bubble()).isBetween(0.0, 1.0);
            assertThat(generator.times().computeNanos()).isPositive();
            return null;
        });
        return heard;
    }

    @ParameterizedTest(name = "one at every {0}th question, tensor {1} × pipeline {2}")
    @CsvSource({"1,1,1", "2,2,1", "9,1,1", "9,2,2", "3,1,4"})
    void theyJoinAsTheyComeAndPeersFollowThroughIdleTimes(int every, int tensor, int pipeline) {
        Trickle source = new Trickle(every, request(0, 9), request(1, 1), request(2, 30), request(3, 2));
        List<Completion> heard = run(source, tensor, pipeline);
        assertThat(heard).extracting(Completion::id).containsExactlyInAnyOrder(0L, 1L, 2L, 3L);
        for (Completion each : heard) {
            assertThat(each.tokens()).isEqualTo(Arrays.copyOf(GOLDEN.greedyIds(), each.outputTokens()));
        }
        assertThat(source.mostAsked).as("as many as have a slot").isEqualTo(16);
        assertThat(source.awaited > 0).isEqualTo(every > 1);
    }

    /** One that waits in a replica is one that another could have begun with. */
    @Test
    void aSmallCacheTakesNoMoreThanItHolds() {
        List<Request> rows = IntStream.range(0, 40).mapToObj(i -> request(i, 1)).toList();
        int each = (GOLDEN.promptIds().length + 15) / 16;
        GeneratorOptions options = new GeneratorOptions(64, 32, 2048, 16, 4 * each, DataType.F32, false);
        AtomicInteger open = new AtomicInteger();
        List<Integer> most = new ArrayList<>();
        RequestSource all = RequestSource.of(rows);
        RequestSource counting = new RequestSource() {
            @Override
            public List<Request> poll(int room) {
                List<Request> taken = all.poll(room);
                taken.forEach(request -> most.add(open.incrementAndGet()));
                return taken;
            }

            @Override
            public boolean isDrained() {
                return all.isDrained();
            }

            @Override
            public void await(Duration time) throws InterruptedException {
                all.await(time);
            }
        };
        Generator.Listener listener = new Generator.Listener() {
            @Override
            public void onCompletion(Completion completion) {
                open.decrementAndGet();
            }
        };
        LocalReplicas.fable(1, 1, 1).with(options).onEveryRank((world, generator, backend) -> {
            generator.run(counting, listener);
            return null;
        });
        assertThat(most).hasSize(40).allMatch(together -> together <= 4).contains(4);
    }

    @Test
    void aBadRequestEndsTheRunBeforeAnythingOfItIsSent() {
        assertRefused(new Request(7, new int[] {2048}, GREEDY), "request 7 of 1 tokens has token 2048");
        assertRefused(new Request(7, new int[512], GREEDY), "request 7 of 512 tokens is not in 1..511");
        assertRefused(request(0, 3), "request id 0 comes twice");
    }

    private static void assertRefused(Request bad, String message) {
        assertThatThrownBy(() -> run(new Trickle(2, request(0, 40), bad), 1, 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
        assertThatThrownBy(() -> run(new Trickle(2, request(0, 40), bad), 2, 1))
                .as("its peers are told")
                .hasMessageContaining(message);
    }

    @Test
    void anInterruptWhileItWaitsEndsTheRun() {
        RequestSource endless = new RequestSource() {
            @Override
            public List<Request> poll(int most) {
                return List.of();
            }

            @Override
            public boolean isDrained() {
                return false;
            }

            @Override
            public void await(Duration most) throws InterruptedException {
                throw new InterruptedException("the task is to end");
            }
        };
        assertThatThrownBy(() -> LocalReplicas.fable(1, 1, 1).onEveryRank((world, generator, backend) -> {
                    try {
                        generator.run(endless, new Generator.Listener() {});
                        return null;
                    } finally {
                        assertThat(Thread.interrupted()).isTrue();
                    }
                }))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("interrupted while waiting for requests");
    }

    @Test
    void aListIsGivenInItsOrderAsFarAsAsked() {
        List<Request> all = IntStream.range(0, 5).mapToObj(i -> request(i, 1)).toList();
        RequestSource source = RequestSource.of(all);
        assertThat(source.poll(2)).isEqualTo(all.subList(0, 2));
        assertThat(source.isDrained()).isFalse();
        assertThat(source.poll(9)).isEqualTo(all.subList(2, 5));
        assertThat(source.isDrained()).isTrue();
        assertThat(source.poll(1)).isEmpty();
    }
}
