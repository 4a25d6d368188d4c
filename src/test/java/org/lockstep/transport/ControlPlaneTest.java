package org.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.World;
import org.lockstep.collective.WorldSpec;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.topology.ParallelSizes;

/** Calls between ranks of one JVM and of several, first of all between two that are not the first. */
@Timeout(120)
class ControlPlaneTest {
    private static final int PORT = 7;
    private static final int RANKS = 4;

    private interface Part {
        void run(World world, ControlPlane plane) throws Exception;
    }

    private static void onEveryRank(int venues, boolean encrypted, Part part) {
        onEveryRank(venues, WorldSpec.of(ParallelSizes.data(RANKS)).withEncryption(encrypted), part);
    }

    private static void onEveryRank(int venues, WorldSpec spec, Part part) {
        LocalWorld.of(RANKS).withVenues(venues).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, spec)) {
                try {
                    part.run(world, world.communicators().controlPlane());
                    return 0;
                } catch (Throwable failure) {
                    world.abort(failure);
                    throw failure;
                }
            }
        });
    }

    /** The question with the ranks of both before it, if it is whole. */
    private static byte[] echo(int from, int to, byte[] question) {
        byte[] answer = new byte[question.length + 2];
        answer[0] = (byte) from;
        answer[1] = (byte) to;
        System.arraycopy(question, 0, answer, 2, question.length);
        return answer;
    }

    private static byte[] words(int seed, int bytes) {
        byte[] words = new byte[bytes];
        new Random(seed).nextBytes(words);
        return words;
    }

    @ParameterizedTest(name = "{0} JVMs, encrypted {1}")
    @CsvSource({"1, false", "2, false", "2, true", "3, false", "4, false", "4, true"})
    void everyRankAsksEveryOther(int venues, boolean encrypted) {
        onEveryRank(venues, encrypted, (world, plane) -> {
            int rank = world.state().rank();
            plane.serve(PORT, (from, question) -> CompletableFuture.completedFuture(echo(from, rank, question)));
            world.communicators().world().barrier();
            List<CompletableFuture<byte[]>> answers = new ArrayList<>();
            int[] sizes = {0, 1, 1000, Frame.PARCEL - 2, Frame.PARCEL, Frame.PARCEL + 1, 300_000};
            for (int size : sizes) {
                for (int to = 0; to < RANKS; to++) {
                    answers.add(plane.call(to, PORT, words(size + rank, size)));
                }
            }
            for (int i = 0; i < answers.size(); i++) {
                int size = sizes[i / RANKS];
                assertThat(answers.get(i).get()).isEqualTo(echo(rank, i % RANKS, words(size + rank, size)));
            }
            world.communicators().world().barrier();
            plane.retire(PORT);
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void anAnswerMayComeLaterAndOutOfOrder(int venues) {
        onEveryRank(venues, false, (world, plane) -> {
            int rank = world.state().rank();
            List<CompletableFuture<byte[]>> parked = new ArrayList<>();
            CountDownLatch all = new CountDownLatch(2 * (RANKS - 1));
            if (rank == 1) {
                plane.serve(PORT, (from, question) -> {
                    CompletableFuture<byte[]> later = new CompletableFuture<>();
                    synchronized (parked) {
                        parked.add(later.thenApply(none -> question));
                        parked.add(later);
                    }
                    all.countDown();
                    return later.thenApply(none -> question);
                });
            }
            world.communicators().world().barrier();
            if (rank == 1) {
                all.await();
                for (int i = parked.size() - 1; i >= 0; i--) {
                    parked.get(i).complete(new byte[0]);
                }
            } else {
                CompletableFuture<byte[]> first = plane.call(1, PORT, new byte[] {1});
                CompletableFuture<byte[]> second = plane.call(1, PORT, new byte[] {2});
                assertThat(second.get()).containsExactly(2);
                assertThat(first.get()).containsExactly(1);
            }
            world.communicators().world().barrier();
        });
    }

    @Test
    void whoLeavesOwesNothingToWhoLeftBefore() {
        CountDownLatch askerLeft = new CountDownLatch(1);
        CountDownLatch askedLeft = new CountDownLatch(1);
        onEveryRank(1, false, (world, plane) -> {
            int rank = world.state().rank();
            if (rank == 1) {
                plane.serve(PORT, (from, question) -> new CompletableFuture<>());
            }
            world.communicators().world().barrier();
            if (rank == 0) {
                plane.call(1, PORT, new byte[0]);
                world.close();
                askerLeft.countDown();
            } else if (rank == 1) {
                askerLeft.await();
                world.close();
                askedLeft.countDown();
            } else {
                askedLeft.await();
                assertThat(world.isAlive()).isTrue();
            }
        });
    }

    @Test
    void longCallsPassEachOther() {
        onEveryRank(4, true, (world, plane) -> {
            plane.serve(PORT, (from, question) -> CompletableFuture.completedFuture(question));
            world.communicators().world().barrier();
            int next = (world.state().rank() + 1) % RANKS;
            byte[] much = words(next, 8 << 20);
            assertThat(plane.call(next, PORT, much.clone()).get()).isEqualTo(much);
            world.communicators().world().barrier();
        });
    }

    private static CommunicatorException failure(CompletableFuture<byte[]> call) {
        CompletionException thrown = catchThrowableOfType(CompletionException.class, call::join);
        return (CommunicatorException) thrown.getCause();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void aCallThatNobodyAnswersEndsTheWorld(int venues) {
        CyclicBarrier everybody = new CyclicBarrier(RANKS); // a failure shall not meet one that still connects
        onEveryRank(venues, false, (world, plane) -> {
            int rank = world.state().rank();
            everybody.await();
            if (rank == 3) {
                CommunicatorException failure = failure(plane.call(1, PORT, new byte[3]));
                assertThat(failure.code()).isEqualTo(ErrorCode.PROTOCOL);
                assertThat(failure)
                        .hasMessageContaining("rank 3 sent a call to port 7, where nobody answers")
                        .hasMessageContaining("culprit : rank 3");
            } else {
                assertThatThrownBy(() -> world.communicators().world().barrier())
                        .hasMessageContaining("where nobody answers");
            }
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void aServiceThatFailsEndsTheWorldAndNamesWhoAsked(int venues) {
        CyclicBarrier everybody = new CyclicBarrier(RANKS); // a failure shall not meet one that still connects
        onEveryRank(venues, false, (world, plane) -> {
            int rank = world.state().rank();
            if (rank == 2) {
                plane.serve(PORT, (from, question) -> {
                    throw new IllegalArgumentException("request 9 was never leased");
                });
            }
            everybody.await();
            if (rank == 1) {
                CommunicatorException failure = failure(plane.call(2, PORT, new byte[3]));
                assertThat(failure.code()).isEqualTo(ErrorCode.PROTOCOL);
                assertThat(failure)
                        .hasMessageContaining("rank 1 sent a call to port 7")
                        .hasMessageContaining("request 9 was never leased")
                        .hasMessageContaining("culprit : rank 1");
            } else {
                assertThatThrownBy(() -> world.communicators().world().barrier())
                        .hasMessageContaining("request 9 was never leased");
            }
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void anAbortEndsEveryWaitForAnAnswer(int venues) {
        CyclicBarrier everybody = new CyclicBarrier(RANKS); // a failure shall not meet one that still connects
        CountDownLatch asked = new CountDownLatch(RANKS - 1);
        onEveryRank(venues, false, (world, plane) -> {
            int rank = world.state().rank();
            if (rank == 0) {
                plane.serve(PORT, (from, question) -> new CompletableFuture<>());
            }
            everybody.await();
            if (rank == 0) {
                asked.await();
                world.abort(new IllegalStateException("the row is cursed"));
            } else {
                CompletableFuture<byte[]> call = plane.call(0, PORT, new byte[0]);
                asked.countDown();
                assertThat(failure(call)).hasMessageContaining("the row is cursed");
                assertThat(failure(plane.call(0, PORT, new byte[0]))).hasMessageContaining("the row is cursed");
            }
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void aRankThatLeavesAndOwesAnAnswerIsLost(int venues) {
        CyclicBarrier everybody = new CyclicBarrier(RANKS); // a failure shall not meet one that still connects
        CountDownLatch asked = new CountDownLatch(1);
        CountDownLatch told = new CountDownLatch(1);
        onEveryRank(venues, false, (world, plane) -> {
            int rank = world.state().rank();
            if (rank == 1) {
                plane.serve(PORT, (from, question) -> {
                    asked.countDown();
                    return new CompletableFuture<>();
                });
            }
            everybody.await();
            if (rank == 1) {
                asked.await();
                world.close();
            } else if (rank == 3) {
                CommunicatorException failure = failure(plane.call(1, PORT, new byte[0]));
                told.countDown();
                assertThat(failure.code()).isEqualTo(ErrorCode.PEER_LOST);
                assertThat(failure).hasMessageContaining("rank 1 left without the answer that rank 3 waits for");
            } else {
                told.await();
            }
        });
    }

    @Test
    void wrongArgumentsAreRefusedBeforeAnythingIsSent() {
        LocalWorld.of(1).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create()) {
                World world = World.join(rendezvous, backend, WorldSpec.of(ParallelSizes.data(1)));
                ControlPlane plane = world.communicators().controlPlane();
                plane.serve(0, (from, question) -> CompletableFuture.completedFuture(question));
                assertThat(plane.call(0, 0, new byte[] {5}).get()).containsExactly(5);
                assertThatThrownBy(() -> plane.serve(0, (from, question) -> new CompletableFuture<>()))
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessage("rank 0 answers at port 0 already");
                assertThatThrownBy(() -> plane.call(1, 0, new byte[0]))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("there is no rank 1");
                assertThatThrownBy(() -> plane.call(0, 256, new byte[0])).hasMessage("port 256 is not in 0..255");
                assertThatThrownBy(() -> plane.call(0, 0, new byte[ControlPlane.MAX_BYTES + 1]))
                        .isInstanceOf(IllegalArgumentException.class);
                world.close();
                assertThatThrownBy(() -> plane.call(0, 0, new byte[0]))
                        .isInstanceOf(CommunicatorException.class)
                        .hasMessageContaining("after close");
                return 0;
            }
        });
    }
}
