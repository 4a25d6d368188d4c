package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.FaultCase;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;

/** Rows to replicas and back, over one JVM and over several pretended ones, with replicas that only pretend to compute. */
@Timeout(120)
class RequestExchangeTest {
    private static final Duration SOON = Duration.ofSeconds(1);
    private static final SamplingParams PARAMS = SamplingParams.DEFAULT
            .withStop(List.of("a", "b", "c"))
            .withStopTokenIds(List.of(1, 2))
            .withSeed(5L);

    private interface Work {
        void run(World world, RequestExchange exchange) throws Exception;
    }

    private static void onEveryRank(ParallelSizes sizes, int ranks, int venues, Work work) {
        onEveryRank(WorldSpec.of(sizes), ranks, venues, work);
    }

    private static void onEveryRank(WorldSpec spec, int ranks, int venues, Work work) {
        LocalWorld.of(ranks).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                try {
                    work.run(
                            world,
                            new RequestExchange(
                                    world.communicators(), world.state(), backend.kernels(), Duration.ofMinutes(1)));
                    return 0;
                } catch (Throwable failure) {
                    world.abort(failure);
                    throw failure;
                }
            }
        });
    }

    private static Request request(long id) {
        return new Request(id, IntStream.rangeClosed(0, (int) (id % 5)).toArray(), PARAMS);
    }

    private static Completion completion(Request request) {
        FinishReason reason = request.id() % 2 == 0 ? FinishReason.STOP : FinishReason.LENGTH;
        return new Completion(
                request.id(), "text " + request.id(), request.prompt(), reason, request.id() % 3 == 0 ? "a" : null, 1);
    }

    private static List<Request> requests(int from, int count) {
        return IntStream.range(from, from + count)
                .mapToObj(RequestExchangeTest::request)
                .toList();
    }

    private static List<Completion> completions(List<Request> requests) {
        return requests.stream().map(RequestExchangeTest::completion).toList();
    }

    /** Completes whatever comes, the last of each batch first. */
    private static void work(RequestSource source, Consumer<Completion> done, int slots) throws InterruptedException {
        while (!source.isDrained()) {
            List<Request> batch = source.poll(slots);
            for (int i = batch.size() - 1; i >= 0; i--) {
                done.accept(completion(batch.get(i)));
            }
            if (batch.isEmpty()) {
                source.await(SOON);
            }
        }
    }

    @ParameterizedTest(name = "tensor {0} × pipeline {1} × data {2} over {3} JVMs")
    @CsvSource({
        "4,1,1,1", "2,2,1,1", "2,1,2,1", "1,2,2,1", "1,1,4,1", "4,1,1,2", "2,1,2,2", "1,1,4,2", "2,1,2,4", "1,1,4,4"
    })
    void everyRowIsCompletedOnceAndComesHome(int tensor, int pipeline, int data, int venues) {
        ParallelSizes sizes =
                ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(data);
        boolean every = tensor == 2 && data == 2 && venues == 1;
        int step = every ? 1 : 5; // through all four ranks' numbers all the same
        List<Queue<Long>> seen = new ArrayList<>();
        IntStream.range(0, 256).forEach(combination -> seen.add(new ConcurrentLinkedQueue<>()));
        onEveryRank(sizes, 4, venues, (world, exchange) -> {
            int rank = world.state().rank();
            boolean source = world.state().modelParallelSrcRank() == rank;
            for (int combination = 0; combination < 256; combination += step) {
                int total = 0;
                List<Request> home = new ArrayList<>();
                for (int each = 0; each < 4; each++) {
                    for (int rows = combination >> 2 * each & 3; rows > 0; rows--) {
                        if (each == rank) {
                            home.add(request(1000 + total));
                        }
                        total++;
                    }
                }
                Queue<Long> polled = seen.get(combination);
                List<Completion> done = exchange.run(home.iterator(), (requests, take) -> {
                    assertThat(requests.isDrained()).isEqualTo(!source);
                    work(
                            requests,
                            completion -> {
                                polled.add(completion.id());
                                take.accept(completion);
                            },
                            3);
                });
                assertThat(done).as("combination %d rank %d", combination, rank).isEqualTo(completions(home));
                assertThat(polled).doesNotHaveDuplicates().hasSize(total);
            }
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    @FaultCase("F55")
    void aSlowReplicaTakesFewerRows(int venues) {
        CountDownLatch others = new CountDownLatch(1);
        CountDownLatch begun = new CountDownLatch(1);
        onEveryRank(ParallelSizes.data(2), 2, venues, (world, exchange) -> {
            int rank = world.state().rank();
            AtomicInteger taken = new AtomicInteger();
            List<Request> home = requests(100 * rank, 100);
            List<Completion> done = exchange.run(home.iterator(), (source, take) -> {
                if (rank == 1) { // is in its first step for as long as the other one works
                    List<Request> first = source.poll(4);
                    while (first.isEmpty()) {
                        source.await(SOON);
                        first = source.poll(4);
                    }
                    begun.countDown();
                    taken.addAndGet(first.size());
                    others.await();
                    first.forEach(each -> take.accept(completion(each)));
                } else {
                    begun.await(); // or it would do them all before the other has begun
                }
                work(
                        source,
                        completion -> {
                            taken.incrementAndGet();
                            take.accept(completion);
                            if (rank == 0 && taken.get() == 195) { // all but those, and one in stock
                                others.countDown();
                            }
                        },
                        4);
            });
            assertThat(done).isEqualTo(completions(home));
            assertThat(taken.get()).isBetween(rank == 0 ? 195 : 1, rank == 0 ? 199 : 5);
        });
    }

    /** Forty rows and two replicas that could each begin 32: whoever comes first leaves the other its half. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void fewRowsAreHalvedThoughOneReplicaCouldBeginThemAll(int venues) {
        CyclicBarrier halved = new CyclicBarrier(2);
        onEveryRank(ParallelSizes.data(2), 2, venues, (world, exchange) -> {
            List<Request> home = requests(20 * world.state().rank(), 20);
            List<Completion> done = exchange.run(home.iterator(), (source, take) -> {
                List<Request> taken = new ArrayList<>();
                while (taken.size() < 20) {
                    List<Request> more = source.poll(32 - taken.size());
                    taken.addAll(more);
                    assertThat(taken).hasSizeLessThanOrEqualTo(20);
                    if (more.isEmpty()) {
                        source.await(SOON);
                    }
                }
                await(halved);
                assertThat(source.poll(12)).isEmpty();
                await(halved);
                taken.forEach(each -> take.accept(completion(each)));
            });
            assertThat(done).isEqualTo(completions(home));
        });
    }

    private static void await(CyclicBarrier barrier) {
        try {
            barrier.await(1, TimeUnit.MINUTES);
        } catch (Exception e) {
            throw new IllegalStateException("the other replica did not get its half", e);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void whatAReplicaGivesBackTheOtherDoes(int venues) {
        CountDownLatch taken = new CountDownLatch(1);
        onEveryRank(ParallelSizes.data(2), 2, venues, (world, exchange) -> {
            int rank = world.state().rank();
            List<Request> home = requests(10 * rank, 10);
            List<Completion> done = exchange.run(home.iterator(), (source, take) -> {
                if (rank == 1) { // takes some, completes one of them, and leaves
                    List<Request> mine = source.poll(4);
                    while (mine.isEmpty()) {
                        source.await(SOON);
                        mine = source.poll(4);
                    }
                    taken.countDown();
                    take.accept(completion(mine.get(mine.size() - 1)));
                } else {
                    taken.await(); // or it would do them all before the other has begun
                    work(source, take, 2);
                }
            });
            assertThat(done).isEqualTo(completions(home));
        });
    }

    @Test
    void rowsThatAllReplicasLeaveUndoneAreAnError() {
        onEveryRank(
                ParallelSizes.data(1),
                1,
                1,
                (world, exchange) -> assertThatThrownBy(() -> exchange.run(
                                requests(1, 3).iterator(),
                                (source, done) ->
                                        done.accept(completion(source.poll(2).get(0)))))
                        .hasMessageContaining("INTERNAL")
                        .hasMessageContaining("2 of 3 requests of this rank were left undone")
                        .hasMessageContaining("request 2 of 3 tokens"));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void aReplicaThatFailsEndsAllWithItsCause(int venues) {
        assertThatThrownBy(() -> onEveryRank(ParallelSizes.tensor(2).withData(2), 4, venues, (world, exchange) -> {
                    int rank = world.state().rank();
                    try {
                        exchange.run(requests(10 * rank, 10).iterator(), (source, done) -> {
                            if (rank == 2) {
                                throw new IllegalStateException("the row is cursed");
                            }
                            work(source, done, 2);
                        });
                    } catch (CommunicatorException told) {
                        assertThat(rank).isNotEqualTo(2);
                        assertThat(told)
                                .hasMessageContaining("because of rank 2")
                                .hasMessageContaining("cursed");
                        return;
                    }
                    throw new AssertionError("rank " + rank + " went on");
                }))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("the row is cursed");
    }

    @Test
    void whatAReplicaMakesUpIsRefused() {
        for (long id : new long[] {0, 77}) { // complete already, and never asked for
            onEveryRank(
                    ParallelSizes.data(1),
                    1,
                    1,
                    (world, exchange) -> assertThatThrownBy(() ->
                                    exchange.run(requests(0, 3).iterator(), (source, done) -> {
                                        source.poll(3);
                                        done.accept(completion(request(0)));
                                        done.accept(completion(request(id)));
                                    }))
                            .isInstanceOf(IllegalArgumentException.class)
                            .hasMessageContaining("is of no request that this replica has"));
        }
    }

    @Test
    void anIdThatComesTwiceIsRefused() {
        onEveryRank(
                ParallelSizes.data(1),
                1,
                1,
                (world, exchange) -> assertThatThrownBy(() -> exchange.run(
                                List.of(request(7), request(7)).iterator(), (source, done) -> work(source, done, 2)))
                        .hasMessage("request id 7 comes twice"));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void aReplicaMayWorkLongerThanTheDeadlineOfOneOperation(int venues) {
        Duration deadline = Duration.ofSeconds(2);
        CountDownLatch never = new CountDownLatch(1);
        WorldSpec spec = WorldSpec.of(ParallelSizes.data(2)).withOperationTimeout(deadline);
        onEveryRank(spec, 2, venues, (world, exchange) -> {
            int rank = world.state().rank();
            List<Request> home = requests(2 * rank, 2);
            List<Completion> done = exchange.run(home.iterator(), (source, take) -> {
                source.await(SOON);
                if (rank == 1) { // is in its first step for longer than that
                    assertThat(never.await(2_500, TimeUnit.MILLISECONDS)).isFalse();
                }
                work(source, take, 1);
            });
            assertThat(done).isEqualTo(completions(home));
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void manyLongRowsTravelInSeveralParcels(int venues) {
        onEveryRank(ParallelSizes.data(2), 2, venues, (world, exchange) -> {
            List<Request> home = new ArrayList<>();
            for (int i = 0; i < 40 && world.state().rank() == 1; i++) {
                home.add(new Request(i, new int[100_000], PARAMS));
            }
            List<Completion> done = exchange.run(home.iterator(), (source, take) -> work(source, take, 8));
            assertThat(done).isEqualTo(completions(home));
        });
    }
}
