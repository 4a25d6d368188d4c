package org.lockstep.inference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;

@Timeout(120)
class RequestExchangeTest {
    private static final SamplingParams PARAMS = SamplingParams.DEFAULT
            .withStop(List.of("a", "b", "c"))
            .withStopTokenIds(List.of(1, 2))
            .withSeed(5L);

    private interface Work {
        void run(World world, RequestExchange exchange);
    }

    private static void onEveryRank(ParallelSizes sizes, int ranks, Work work) {
        onEveryRank(WorldSpec.of(sizes), ranks, work);
    }

    private static void onEveryRank(WorldSpec plain, int ranks, Work work) {
        WorldSpec spec = plain.withObjects(RequestExchange.OBJECTS.toArray(new Class<?>[0]));
        LocalWorld.of(ranks).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                try {
                    work.run(
                            world,
                            new RequestExchange(
                                    world.communicators().world(),
                                    world.state(),
                                    backend.kernels(),
                                    Duration.ofMinutes(1)));
                    return null;
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

    @Test
    void aReplicaMayWorkLongerThanTheDeadlineOfOneOperation() {
        Duration deadline = Duration.ofMillis(300);
        WorldSpec spec = WorldSpec.of(ParallelSizes.data(2)).withOperationTimeout(deadline);
        onEveryRank(spec, 2, (world, exchange) -> {
            int rank = world.state().rank();
            List<Completion> done = exchange.run(List.of(request(2 * rank), request(2 * rank + 1)), requests -> {
                long end = System.nanoTime() + rank * deadline.multipliedBy(3).toNanos();
                while (System.nanoTime() - end < 0) {
                    Thread.onSpinWait(); // the second replica computes
                }
                return requests.stream().map(RequestExchangeTest::completion).toList();
            });
            assertThat(done).extracting(Completion::id).containsExactly(2L * rank, 2L * rank + 1);
        });
    }

    @ParameterizedTest(name = "tensor {0} × pipeline {1} × data {2}")
    @CsvSource({"4,1,1", "2,2,1", "2,1,2", "1,2,2", "1,1,4"})
    void everyRowIsCompletedOnceAndComesHome(int tensor, int pipeline, int data) {
        ParallelSizes sizes =
                ParallelSizes.tensor(tensor).withPipeline(pipeline).withData(data);
        onEveryRank(sizes, 4, (world, exchange) -> {
            int rank = world.state().rank();
            boolean source = world.state().modelParallelSrcRank() == rank;
            for (int combination = 0; combination < 256; combination++) {
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
                int rows = total;
                List<Completion> done = exchange.run(home, given -> {
                    assertThat(given.size()).isBetween(source ? rows / data : 0, source ? (rows + data - 1) / data : 0);
                    assertThat(given)
                            .isEqualTo(given.stream()
                                    .map(each -> request(each.id()))
                                    .toList());
                    return given.stream().map(RequestExchangeTest::completion).toList();
                });
                assertThat(done)
                        .as("combination %d rank %d", combination, rank)
                        .isEqualTo(home.stream()
                                .map(RequestExchangeTest::completion)
                                .toList());
            }
        });
    }

    @Test
    void manyLongRowsTravelInSeveralParcels() {
        onEveryRank(ParallelSizes.data(2), 2, (world, exchange) -> {
            List<Request> home = new ArrayList<>();
            for (int i = 0; i < 40 && world.state().rank() == 1; i++) {
                home.add(new Request(i, new int[100_000], PARAMS));
            }
            List<Completion> done = exchange.run(
                    home,
                    given -> given.stream().map(RequestExchangeTest::completion).toList());
            assertThat(done)
                    .extracting(Completion::id)
                    .isEqualTo(home.stream().map(Request::id).toList());
        });
    }

    @Test
    void aReplicaThatLosesARowIsToldSo() {
        onEveryRank(
                ParallelSizes.data(1),
                1,
                (world, exchange) -> assertThatThrownBy(() -> exchange.run(List.of(request(1)), given -> List.of()))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("given 1 requests and returned 0 completions"));
    }
}
