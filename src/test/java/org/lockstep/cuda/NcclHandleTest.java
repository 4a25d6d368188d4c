package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntUnaryOperator;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.UniqueId;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/** Communicators between threads, each with a device, through the real binding. */
@Timeout(60)
@HostCuda
class NcclHandleTest {
    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration SHORT = Duration.ofMillis(300);
    private static final int F32 = 7; // ncclFloat32
    private static final int SUM = 0; // ncclSum

    private NcclLibrary library;

    @BeforeEach
    void show() {
        try {
            library = NcclLibrary.open(Optional.empty(), System.getenv());
        } catch (LockstepException none) {
            assumeTrue(false, none.summary());
        }
        if (StandIn.isLoaded()) {
            StandIn.require().setDevices(4);
        }
    }

    @AfterEach
    void hide() {
        if (StandIn.isLoaded()) {
            StandInNccl nccl = StandInNccl.require();
            nccl.lose(-1);
            nccl.failAfter(-1);
            nccl.setLazy(false);
            assertThat(nccl.communicators()).isZero();
            assertThat(nccl.misuses()).isZero();
            StandIn.require().setDevices(1);
        }
    }

    /** A rank, with its device, its memory and its communicator, which {@link #on} ends. */
    private record Rank(int number, CudaDevice device, DeviceArena arena, NcclCalls calls, NcclHandle handle) {
        DeviceBuffer floats(float... values) {
            DeviceBuffer made = DeviceBuffer.allocate(arena, DataType.F32, values.length);
            made.copyFrom(Buffer.ofFloats(values));
            return made;
        }

        void allReduce(DeviceBuffer buffer) {
            handle.call(
                    "all_reduce",
                    LONG,
                    () -> {},
                    communicator -> NcclFunctions.ncclAllReduce(
                            buffer.address(),
                            buffer.address(),
                            buffer.length(),
                            F32,
                            SUM,
                            communicator,
                            Raw.handle(device.stream())));
        }

        float[] read(DeviceBuffer buffer) {
            HostBuffer host = buffer.toHost();
            return host.toFloats();
        }
    }

    /** What fails {@code all_reduce #1}, as soon as this rank hears of it; who asks moves its stream on. */
    private static LockstepException failure(Rank rank) {
        return await().pollInSameThread()
                .until(
                        () -> {
                            JCudaDriver.cuStreamQuery(rank.device.stream());
                            return catchThrowableOfType(
                                    LockstepException.class, () -> rank.handle.isReady("all_reduce #1"));
                        },
                        Objects::nonNull);
    }

    private interface Part<T> {
        T on(Rank rank) throws Exception;
    }

    private <T> List<T> on(int ranks, Part<T> part) throws Exception {
        return on(ranks, rank -> rank, part);
    }

    private <T> List<T> on(int ranks, IntUnaryOperator deviceOf, Part<T> part) throws Exception {
        int devices = StandIn.devices().size();
        assumeTrue(ranks <= devices, ranks + " ranks need as many devices, there are " + devices);
        UniqueId id = library.newId();
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try {
            List<Future<T>> running = new ArrayList<>();
            for (int rank = 0; rank < ranks; rank++) {
                int me = rank;
                running.add(threads.submit(() -> alone(id, ranks, me, deviceOf.applyAsInt(me), part)));
            }
            List<T> results = new ArrayList<>();
            for (Future<T> each : running) {
                results.add(each.get());
            }
            return results;
        } finally {
            threads.shutdown();
        }
    }

    private <T> T alone(UniqueId id, int ranks, int me, int ordinal, Part<T> part) throws Exception {
        try (CudaDevice device = CudaDevice.open(StandIn.devices().get(ordinal));
                DeviceArena arena = DeviceArena.create(device, 64 << 20)) {
            NcclCalls calls = new NcclCalls();
            NcclHandle handle = NcclHandle.begin(library, calls, id, ranks, me, NcclConfig.DEFAULT);
            try {
                return part.on(new Rank(me, device, arena, calls, handle));
            } finally {
                handle.abort();
                calls.abort(); // ends the thread for it, too
                assertThat(calls.await(LONG)).isTrue();
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void ranksThatMeetByAnIdAddUpInTheOrderOfTheirStreams(int size) throws Exception {
        on(size, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(rank.number, 1, 10 * rank.number);
            rank.allReduce(x);
            rank.allReduce(x);
            int sum = size * (size - 1) / 2;
            assertThat(rank.read(x)).containsExactly(size * sum, size * size, 10 * size * sum);
            rank.handle.close(LONG);
            rank.handle.close(LONG);
            return true;
        });
    }

    @Test
    void transfersOfAGroupCrossAndDoNotBlock() throws Exception {
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer mine = rank.floats(rank.number, 5);
            DeviceBuffer theirs = rank.floats(9, 9);
            long stream = Raw.handle(rank.device.stream());
            NcclFunctions.ncclGroupStart();
            rank.handle.call(
                    "send",
                    LONG,
                    () -> {},
                    group -> NcclFunctions.ncclSend(mine.address(), 2, F32, 1 - rank.number, group, stream));
            rank.handle.call(
                    "receive",
                    LONG,
                    () -> {},
                    group -> NcclFunctions.ncclRecv(theirs.address(), 2, F32, 1 - rank.number, group, stream));
            rank.handle.call("group", LONG, () -> {}, group -> NcclFunctions.ncclGroupEnd());
            assertThat(rank.read(theirs)).containsExactly(1 - rank.number, 5);
            return true;
        });
    }

    @Test
    void aRecordedOperationIsReplayed() throws Exception {
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1 + rank.number);
            CUgraphExec made = recorded(rank, x);
            for (int times = 0; times < 3; times++) {
                CudaError.check(JCudaDriver.cuGraphLaunch(made, rank.device.stream()), "cuGraphLaunch");
            }
            assertThat(rank.read(x)).containsExactly(12); // 3, 6, 12
            CudaError.check(JCudaDriver.cuGraphExecDestroy(made), "cuGraphExecDestroy");
            return true;
        });
    }

    /** A graph with one all-reduce, which the caller destroys. */
    private static CUgraphExec recorded(Rank rank, DeviceBuffer x) {
        rank.device.synchronize();
        CUgraph graph = new CUgraph();
        CudaError.check(
                JCudaDriver.cuStreamBeginCapture(
                        rank.device.stream(), CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                "cuStreamBeginCapture");
        rank.allReduce(x);
        CudaError.check(JCudaDriver.cuStreamEndCapture(rank.device.stream(), graph), "cuStreamEndCapture");
        CUgraphExec made = new CUgraphExec();
        CudaError.check(JCudaDriver.cuGraphInstantiate(made, graph, 0), "cuGraphInstantiate");
        CudaError.check(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
        return made;
    }

    /** NCCL ends neither in an orderly way nor at once what a graph can still launch. */
    @Test
    void aCommunicatorOfAGraphEndsAfterTheGraphAndItsAbortKeepsNobodyWaiting() throws Exception {
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1 + rank.number);
            CUgraphExec graph = recorded(rank, x);
            assertThatThrownBy(() -> rank.handle.close(SHORT))
                    .hasMessageContaining("ncclCommFinalize")
                    .hasMessageContaining("0.3 s");
            rank.calls.abort();
            assertThat(rank.calls.await(SHORT)).isFalse();
            assertThatThrownBy(() -> rank.allReduce(x)).hasMessageContaining("that was ended");
            CudaError.check(JCudaDriver.cuGraphExecDestroy(graph), "cuGraphExecDestroy");
            assertThat(rank.calls.await(LONG)).isTrue();
            return true;
        });
    }

    /** NCCL writes to what its init was given for as long as it has not ended the communicator. */
    @Test
    void whatNcclMayWriteToStaysUntilTheEndOfAnAbortThoughNobodyKnowsOfItAnyMore() {
        StandInNccl nccl = StandInNccl.require();
        try (CudaDevice device = CudaDevice.open(StandIn.devices().get(0))) {
            device.enter();
            nccl.holdEnds(true);
            WeakReference<NcclHandle> forgotten;
            try {
                forgotten = aborted();
                for (int times = 0; times < 3; times++) {
                    System.gc();
                    assertThat(forgotten.get() != null).as("NCCL may write").isTrue();
                }
                assertThat(nccl.communicators()).isEqualTo(1);
            } finally {
                nccl.holdEnds(false);
            }
            await().untilAsserted(() -> {
                System.gc();
                assertThat(forgotten.get() == null).as("it does not any more").isTrue();
            });
        }
    }

    /** While it was waiting for a rank that never comes. */
    private WeakReference<NcclHandle> aborted() {
        NcclCalls calls = new NcclCalls();
        NcclHandle made = NcclHandle.begin(library, calls, library.newId(), 2, 0, NcclConfig.DEFAULT);
        calls.abort();
        return new WeakReference<>(made);
    }

    /** As where a machine has no thread left: that is known before anything is begun that would need one to end. */
    @Test
    void noThreadIsNeededThatMayNotBeThereWhenCommunicatorsAreAborted() {
        StandInNccl nccl = StandInNccl.require();
        AtomicInteger left = new AtomicInteger(1);
        NcclCalls calls = new NcclCalls(body -> new Thread(body, "abort") {
            @Override
            public synchronized void start() {
                if (left.getAndDecrement() < 1) {
                    throw new OutOfMemoryError("unable to create native thread: planned");
                }
                super.start();
            }
        });
        try (CudaDevice device = CudaDevice.open(StandIn.devices().get(0))) {
            device.enter();
            NcclHandle one = NcclHandle.begin(library, calls, library.newId(), 2, 0, NcclConfig.DEFAULT);
            NcclHandle other = NcclHandle.begin(library, calls, library.newId(), 1, 0, NcclConfig.DEFAULT);
            other.await("init", LONG, () -> {});
            one.abort();
            assertThat(nccl.communicators()).as("left to the abort of all").isEqualTo(2);
            calls.abort();
            assertThat(calls.await(LONG)).isTrue();
            assertThat(nccl.communicators()).isZero();
            assertThatThrownBy(() -> NcclHandle.begin(library, calls, library.newId(), 1, 0, NcclConfig.DEFAULT))
                    .isInstanceOf(OutOfMemoryError.class);
            assertThat(nccl.communicators())
                    .as("none that could not be aborted")
                    .isZero();
        }
    }

    @Test
    void anAbortDoesNotWaitForWhoIsInsideWhoThenDoesIt() throws Exception {
        StandInNccl nccl = StandInNccl.require();
        on(1, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(3);
            nccl.hold(true);
            Thread caller = new Thread(() -> rank.allReduce(x), "caller");
            try {
                caller.start();
                await().until(() -> nccl.inside() == 1);
                rank.calls.abort();
                assertThat(nccl.communicators()).as("it is used").isEqualTo(1);
            } finally {
                nccl.hold(false);
            }
            caller.join();
            assertThat(rank.calls.await(LONG)).isTrue();
            assertThat(nccl.communicators()).isZero();
            assertThatThrownBy(() -> rank.allReduce(x)).hasMessageContaining("that was ended");
            return true;
        });
    }

    @Test
    void registeredMemoryIsGivenBackBeforeItIsFreedAndWithTheCommunicator() throws Exception {
        StandInNccl nccl = StandInNccl.require();
        CyclicBarrier both = new CyclicBarrier(2);
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1, 2);
            DeviceBuffer large = DeviceBuffer.allocate(rank.arena, DataType.U8, 20 << 20); // its memory is its own
            rank.device.memory().forEach(rank.handle::register);
            rank.device.memory().forEach(rank.handle::register); // once
            both.await();
            assertThat(nccl.registered()).isEqualTo(2 * 2);
            both.await();
            rank.allReduce(x);
            rank.handle.deregister(large.address());
            rank.handle.deregister(large.address());
            large.close();
            rank.allReduce(x);
            assertThat(rank.read(x)).containsExactly(4, 8);
            rank.handle.close(LONG);
            both.await();
            assertThat(nccl.registered()).isZero();
            rank.handle.register(x.address(), 8);
            rank.handle.deregister(x.address());
            return true;
        });
    }

    @Test
    void memoryThatIsFreedWhileRegisteredAndSuchThatIsNotRegisteredAreRefused() throws Exception {
        StandInNccl.require();
        on(1, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1, 2);
            DeviceBuffer large = DeviceBuffer.allocate(rank.arena, DataType.U8, 20 << 20);
            rank.handle.register(large.address(), 20 << 20);
            assertThatThrownBy(() -> rank.allReduce(x))
                    .hasMessageContaining("memory that is not registered beside such that is");
            assertThatThrownBy(() -> rank.handle.register(large.address() + 4096, 4096))
                    .hasMessageContaining("memory is registered twice");
            large.close();
            assertThatThrownBy(() -> rank.allReduce(x)).hasMessageContaining("memory was freed that is registered");
            return true;
        });
    }

    @Test
    void aConfigThatTheLibraryCannotHaveIsRefused() {
        StandInNccl.require();
        List<NcclConfig> odd = List.of(
                new NcclConfig(OptionalInt.of(0), OptionalInt.empty()),
                new NcclConfig(OptionalInt.empty(), OptionalInt.of(-1)));
        try (CudaDevice device = CudaDevice.open(StandIn.devices().get(0))) {
            device.enter();
            assertThat(odd)
                    .allSatisfy(config -> assertThatThrownBy(
                                    () -> NcclHandle.begin(library, new NcclCalls(), library.newId(), 1, 0, config))
                            .hasMessageContaining("a config with a value that cannot be"));
        }
    }

    @Test
    void twoRanksOnOneDeviceAreRefused() throws Exception {
        StandInNccl.require();
        on(2, rank -> 0, rank -> {
            assertThatThrownBy(() -> rank.handle.await("init", LONG, () -> {}))
                    .hasMessageContaining("Duplicate GPU detected");
            return true;
        });
    }

    @Test
    void whoWaitsForARankThatDoesNotComeIsToldAtTheDeadline() throws Exception {
        StandInNccl.require().lose(1);
        on(2, rank -> {
            LockstepException late = catchThrowableOfType(
                    LockstepException.class, () -> rank.handle.await("init of tensor[0]={0,1}", SHORT, () -> {}));
            assertThat(late.code()).isEqualTo(ErrorCode.COLLECTIVE_TIMEOUT);
            assertThat(late).hasMessageContaining("init of tensor[0]={0,1}").hasMessageContaining("0.3 s");
            assertThat(late.advice()).contains("NCCL_SOCKET_IFNAME");
            return true;
        });
    }

    /** A pause of the garbage collector while it is asked is no time of NCCL's, which goes on. */
    @Test
    void whatIsReadyWhenItIsAskedAgainIsNotLate() throws Exception {
        on(2, rank -> {
            rank.handle.await("init", SHORT, () -> {
                long end = System.nanoTime() + 2 * SHORT.toNanos();
                await().atMost(LONG)
                        .pollInSameThread()
                        .until(() -> rank.handle.isReady("init") && System.nanoTime() - end > 0);
            });
            return true;
        });
    }

    @Test
    void abortFromAnotherThreadFreesTheOneThatWaitsForTheDevice() throws Exception {
        CyclicBarrier ready = new CyclicBarrier(2);
        CountDownLatch over = new CountDownLatch(1);
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(3);
            ready.await();
            if (rank.number == 1) {
                over.await(); // it never calls the operation
                return true;
            }
            rank.allReduce(x);
            Thread watchdog = new Thread(rank.handle::abort, "watchdog");
            watchdog.start();
            rank.device.synchronize();
            watchdog.join();
            over.countDown();
            assertThatThrownBy(() -> rank.allReduce(x)).hasMessageContaining("that was ended");
            return true;
        });
    }

    /** Where nobody connected them before, which NCCL does not from 2.22 on. */
    @Test
    void theFirstCallWaitsForTheOthersUntilItsLookFails() throws Exception {
        StandInNccl.require().setLazy(true);
        CyclicBarrier both = new CyclicBarrier(2);
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1 + rank.number);
            rank.allReduce(x);
            CUgraphExec graph = recorded(rank, x);
            CudaError.check(JCudaDriver.cuGraphLaunch(graph, rank.device.stream()), "cuGraphLaunch");
            assertThat(rank.read(x)).containsExactly(6); // 3, 6
            CudaError.check(JCudaDriver.cuGraphExecDestroy(graph), "cuGraphExecDestroy");
            if (rank.number == 0) { // the other does not receive
                Runnable look = () -> {
                    throw new IllegalStateException("the fate is sealed");
                };
                long stream = Raw.handle(rank.device.stream());
                assertThatThrownBy(() -> rank.handle.call(
                                "send",
                                LONG,
                                look,
                                group -> NcclFunctions.ncclSend(x.address(), 1, F32, 1, group, stream)))
                        .hasMessage("the fate is sealed");
            }
            both.await();
            return true;
        });
    }

    @ParameterizedTest
    @CsvSource({
        "1, DEVICE_FAULT, unhandled cuda error",
        "2, DEVICE_FAULT, unhandled system error",
        "3, INTERNAL, internal error",
        "4, COLLECTIVE_MISMATCH, invalid argument",
        "5, COLLECTIVE_MISMATCH, invalid usage",
        "6, PEER_LOST, remote process exited",
        "8, COLLECTIVE_TIMEOUT, timeout"
    })
    void whatNcclFailsWithHasACodeAndItsWords(int result, ErrorCode code, String words) throws Exception {
        StandInNccl.require().failAfter(0, result);
        on(1, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1);
            LockstepException failure = catchThrowableOfType(LockstepException.class, () -> rank.allReduce(x));
            assertThat(failure.code()).isEqualTo(code);
            assertThat(failure.summary()).contains("all_reduce: " + words, "(" + result + ")");
            return true;
        });
    }

    /** A communicator of one, as on a single device. */
    @Test
    void everyOperationOfARankAloneIsNcclsToo() throws Exception {
        on(1, rank -> {
            rank.handle.await("init", LONG, () -> {});
            long stream = Raw.handle(rank.device.stream());
            DeviceBuffer from = rank.floats(3, -4);
            long source = from.address();
            for (int reduction = SUM; reduction <= 4; reduction++) { // sum, product, max, min, average
                int by = reduction;
                assertMoved(
                        rank, from, (to, group) -> NcclFunctions.ncclAllReduce(source, to, 2, F32, by, group, stream));
                assertMoved(
                        rank, from, (to, group) -> NcclFunctions.ncclReduce(source, to, 2, F32, by, 0, group, stream));
                assertMoved(
                        rank,
                        from,
                        (to, group) -> NcclFunctions.ncclReduceScatter(source, to, 2, F32, by, group, stream));
            }
            assertMoved(rank, from, (to, group) -> NcclFunctions.ncclBroadcast(source, to, 2, F32, 0, group, stream));
            assertMoved(rank, from, (to, group) -> NcclFunctions.ncclAllGather(source, to, 2, F32, group, stream));
            DeviceBuffer to = rank.floats(0, 0);
            rank.handle.group("to itself", LONG, () -> {}, group -> {
                NcclFunctions.ncclSend(source, 2, F32, 0, group, stream);
                return NcclFunctions.ncclRecv(to.address(), 2, F32, 0, group, stream);
            });
            assertThat(rank.read(to)).containsExactly(3, -4);
            rank.handle.close(LONG);
            return true;
        });
    }

    private interface Move {
        int call(long to, long communicator);
    }

    private static void assertMoved(Rank rank, DeviceBuffer from, Move move) {
        DeviceBuffer to = rank.floats(new float[(int) from.length()]);
        rank.handle.call("operation", LONG, () -> {}, group -> move.call(to.address(), group));
        assertThat(rank.read(to)).containsExactly(rank.read(from));
    }

    @Test
    void aFailureOfTheNetworkAndRanksThatDisagreeAreToldWithNcclsWords() throws Exception {
        StandInNccl nccl = StandInNccl.require();
        CyclicBarrier both = new CyclicBarrier(2);
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1, 2);
            both.await();
            if (rank.number == 0) {
                nccl.failAfter(0);
                assertThatThrownBy(() -> rank.allReduce(x)).hasMessageContaining("a peer's connection was closed");
            }
            LockstepException lost = failure(rank);
            assertThat(lost.code()).isEqualTo(ErrorCode.PEER_LOST);
            assertThat(lost)
                    .hasMessageContaining("all_reduce #1: remote process exited or there was a network error (6)")
                    .hasMessageContaining("a peer's connection was closed");
            both.await();
            return true;
        });
        on(2, rank -> {
            rank.handle.await("init", LONG, () -> {});
            DeviceBuffer x = rank.floats(1, 2);
            rank.allReduce(rank.number == 0 ? x : x.slice(0, 1));
            LockstepException odd = failure(rank);
            assertThat(odd.code()).isEqualTo(ErrorCode.COLLECTIVE_MISMATCH);
            assertThat(odd).hasMessageContaining("ranks disagree");
            both.await();
            return true;
        });
    }
}
