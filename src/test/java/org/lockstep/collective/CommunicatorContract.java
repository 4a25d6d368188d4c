package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.cpu.CpuBackend;
import org.lockstep.rendezvous.LocalWorld;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelSizes;

/** What every communicator must do, whatever carries it. Values are i · stride + rank, so that any misplacement shows. */
@Timeout(60)
public abstract class CommunicatorContract {
    protected static final int[] LENGTHS = {0, 1, 4, 100, 1000, 10000};

    /** Parties in as many pretended JVMs as the transport under test needs. */
    protected abstract LocalWorld world(int size);

    /** One rank's part. */
    protected interface Part<T> {
        T run(Communicator communicator) throws Exception;
    }

    protected static Stream<Integer> sizes() {
        return Stream.of(1, 2, 3, 4, 7);
    }

    /** Runs {@code part} on every rank of a world of {@code size}, results by rank in group. */
    protected <T> List<T> onEvery(int size, Part<T> part) {
        return onEvery(size, WorldSpec.of(ParallelSizes.tensor(size)), part);
    }

    protected <T> List<T> onEvery(int size, WorldSpec spec, Part<T> part) {
        record Placed<T>(int rank, T value) {}
        WorldSpec one = spec.withKinds(Set.of(GroupKind.WORLD));
        CyclicBarrier connected = new CyclicBarrier(size); // a failure of one shall not meet another still connecting
        List<Placed<T>> results = world(size).run(rendezvous -> {
            try (CpuBackend backend = CpuBackend.create();
                    World world = World.join(rendezvous, backend, one)) {
                Communicator communicator = world.communicators().world();
                connected.await();
                return new Placed<>(communicator.rankInGroup(), part.run(communicator));
            }
        });
        return results.stream()
                .sorted(Comparator.comparingInt(Placed::rank))
                .map(Placed::value)
                .toList();
    }

    /** A small value that every type can hold, and that tells rank and place. */
    private static double value(DataType type, int i, int rank) {
        int stride = 17;
        return switch (type) {
            case F64, F32, I64, I32 -> (double) i * stride + rank;
            case BF16, F16 -> (i * stride + rank) % 61 / 4.0;
            case I8 -> (i * stride + rank) % 100 - 50;
            case U8 -> (i * stride + rank) % 200;
        };
    }

    protected static HostBuffer filled(DataType type, int length, int rank) {
        HostBuffer buffer = HostBuffer.allocate(type, length);
        for (int i = 0; i < length; i++) {
            set(buffer, i, value(type, i, rank));
        }
        return buffer;
    }

    private static void set(HostBuffer buffer, int i, double value) {
        switch (buffer.type()) {
            case F64 -> buffer.doubles()[buffer.offset() + i] = value;
            case F32 -> buffer.floats()[buffer.offset() + i] = (float) value;
            case BF16 -> buffer.shorts()[buffer.offset() + i] = Half.floatToBf16((float) value);
            case F16 -> buffer.shorts()[buffer.offset() + i] = Half.floatToF16((float) value);
            case I64 -> buffer.longs()[buffer.offset() + i] = (long) value;
            case I32 -> buffer.ints()[buffer.offset() + i] = (int) value;
            case I8, U8 -> buffer.byteArray()[buffer.offset() + i] = (byte) (int) value;
        }
    }

    /** tree(lo, hi) = tree(lo, mid) + tree(mid, hi), in the type that accumulates. */
    private static double tree(DataType type, ReduceOp op, int i, int lo, int hi) {
        if (hi - lo == 1) {
            return value(type, i, lo);
        }
        int mid = lo + Integer.highestOneBit(hi - lo - 1);
        double left = tree(type, op, i, lo, mid);
        double right = tree(type, op, i, mid, hi);
        double joined = switch (op.kind()) {
            case SUM, AVG, PREMULTIPLIED_SUM -> left + right;
            case PRODUCT -> left * right;
            case MIN -> Math.min(left, right);
            case MAX -> Math.max(left, right);
        };
        return type == DataType.F64 || !type.isFloating() ? joined : (float) joined;
    }

    protected static HostBuffer reduced(DataType type, ReduceOp op, int length, int ranks) {
        HostBuffer buffer = HostBuffer.allocate(type, length);
        for (int i = 0; i < length; i++) {
            double all = tree(type, op, i, 0, ranks);
            double one = op != ReduceOp.AVG ? all : type == DataType.F64 ? all / ranks : (float) all / ranks;
            set(buffer, i, one);
        }
        return buffer;
    }

    protected static void assertSame(HostBuffer actual, HostBuffer expected) {
        assertThat(actual.toString()).isEqualTo(expected.toString());
        assertThat(bits(actual)).isEqualTo(bits(expected));
    }

    /** Every element exactly: 64-bit integers lose nothing, and a NaN has bits. */
    protected static long[] bits(HostBuffer buffer) {
        return IntStream.range(0, buffer.size())
                .mapToLong(i -> buffer.type() == DataType.I64
                        ? buffer.longs()[buffer.offset() + i]
                        : Double.doubleToRawLongBits(buffer.get(i)))
                .toArray();
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void allReduceAddsInTheOrderOfRanks(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : LENGTHS) {
                for (DataType type :
                        length > 100 ? EnumSet.of(DataType.F32, DataType.BF16) : EnumSet.allOf(DataType.class)) {
                    for (ReduceOp op : List.of(ReduceOp.SUM, ReduceOp.MIN, ReduceOp.MAX, ReduceOp.AVG)) {
                        if (op == ReduceOp.AVG && !type.isFloating()) {
                            continue;
                        }
                        HostBuffer buffer = filled(type, length, rank);
                        communicator.allReduce(buffer, op);
                        assertSame(buffer, reduced(type, op, length, size));
                    }
                }
            }
            return true;
        });
    }

    @ParameterizedTest
    @EnumSource(DataType.class)
    void everyTypeIsReducedWhole(DataType type) {
        onEvery(3, communicator -> {
            HostBuffer whole = filled(type, 10002, communicator.rankInGroup());
            HostBuffer slice = whole.slice(1, 10000);
            communicator.allReduce(slice, ReduceOp.MAX);
            HostBuffer expected = reduced(type, ReduceOp.MAX, 10002, 3);
            assertSame(slice, expected.slice(1, 10000));
            assertSame(whole.slice(0, 1), filled(type, 1, communicator.rankInGroup()));
            return true;
        });
    }

    @Test
    void resultsAreEqualBitByBitEverywhere() {
        List<long[]> bits = onEvery(7, communicator -> {
            HostBuffer buffer = awkward(5000, communicator.rankInGroup());
            communicator.allReduce(buffer, ReduceOp.SUM);
            HostBuffer small = awkward(33, communicator.rankInGroup());
            communicator.allReduce(small, ReduceOp.AVG);
            return IntStream.concat(
                            IntStream.range(0, 5000).map(i -> Float.floatToRawIntBits(buffer.floats()[i])),
                            IntStream.range(0, 33).map(i -> Float.floatToRawIntBits(small.floats()[i])))
                    .asLongStream()
                    .toArray();
        });
        float[] expected = new float[5000];
        for (int i = 0; i < expected.length; i++) {
            expected[i] = awkwardTree(i, 0, 7);
        }
        for (long[] each : bits) {
            assertThat(each).isEqualTo(bits.get(0));
            for (int i = 0; i < expected.length; i++) {
                assertThat((int) each[i]).isEqualTo(Float.floatToIntBits(expected[i]));
            }
        }
    }

    private static float awkwardValue(int i, int rank) {
        return switch (i % 50) {
            case 7 -> rank == 1 ? Float.NaN : Float.intBitsToFloat(0x7fc12345 + rank);
            case 8 -> rank % 2 == 0 ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY;
            case 9 -> rank == 3 ? Float.MAX_VALUE : -0f;
            default -> (float) (Math.sin(i * 1.7 + rank * 31.3) * Math.pow(10, (i + 3 * rank) % 12 - 6));
        };
    }

    private static HostBuffer awkward(int length, int rank) {
        HostBuffer buffer = HostBuffer.allocate(DataType.F32, length);
        for (int i = 0; i < length; i++) {
            buffer.floats()[i] = awkwardValue(i, rank);
        }
        return buffer;
    }

    private static float awkwardTree(int i, int lo, int hi) {
        if (hi - lo == 1) {
            return awkwardValue(i, lo);
        }
        int mid = lo + Integer.highestOneBit(hi - lo - 1);
        return awkwardTree(i, lo, mid) + awkwardTree(i, mid, hi);
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void gatherScatterAndBroadcastPutEveryBlockInItsPlace(int size) {
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            for (int length : LENGTHS) {
                for (DataType type : List.of(DataType.F32, DataType.F16, DataType.I64, DataType.U8)) {
                    HostBuffer all = HostBuffer.allocate(type, (long) length * size);
                    HostBuffer own = filled(type, length, rank);
                    communicator.allGather(own, all);
                    for (int i = 0; i < size; i++) {
                        assertSame(all.slice((long) i * length, length), filled(type, length, i));
                    }
                    HostBuffer inPlace = HostBuffer.allocate(type, (long) length * size);
                    inPlace.slice((long) rank * length, length).copyFrom(own);
                    communicator.allGather(inPlace.slice((long) rank * length, length), inPlace);
                    assertSame(inPlace, all);

                    HostBuffer whole = filled(type, length * size, rank);
                    HostBuffer block = HostBuffer.allocate(type, length);
                    communicator.reduceScatter(whole, block, ReduceOp.MAX);
                    HostBuffer expected = reduced(type, ReduceOp.MAX, length * size, size);
                    assertSame(block, expected.slice((long) rank * length, length));
                    HostBuffer inside = whole.slice((long) rank * length, length);
                    communicator.reduceScatter(whole, inside, ReduceOp.MAX);
                    assertSame(inside, block);

                    int root = length % size;
                    HostBuffer told = rank == root ? filled(type, length, 5) : HostBuffer.allocate(type, length);
                    communicator.broadcast(told, root);
                    assertSame(told, filled(type, length, 5));
                }
                communicator.barrier();
            }
            return true;
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 1000})
    void buffersOfAllRanksMayBePartsOfOneArray(int length) {
        int size = 3;
        HostBuffer blocks = HostBuffer.allocate(DataType.F32, (long) (1 + size) * size * length);
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            HostBuffer mine = blocks.slice((long) rank * length, length);
            HostBuffer all = blocks.slice((long) (1 + rank) * size * length, (long) size * length);
            mine.copyFrom(filled(DataType.F32, length, rank));
            communicator.allGather(mine, all);
            for (int i = 0; i < size; i++) {
                assertSame(all.slice((long) i * length, length), filled(DataType.F32, length, i));
            }
            communicator.allReduce(mine, ReduceOp.SUM);
            assertSame(mine, reduced(DataType.F32, ReduceOp.SUM, length, size));
            mine.copyFrom(filled(DataType.F32, length, rank));
            communicator.broadcast(mine, 1);
            assertSame(mine, filled(DataType.F32, length, 1));
            return true;
        });
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void messagesAndObjectsGoAroundTheRing(int size) {
        if (size == 1) {
            return;
        }
        onEvery(size, communicator -> {
            int rank = communicator.rankInGroup();
            int next = (rank + 1) % size;
            int previous = (rank + size - 1) % size;
            for (int length : LENGTHS) {
                HostBuffer mine = filled(DataType.BF16, length, rank);
                HostBuffer theirs = HostBuffer.allocate(DataType.BF16, length);
                communicator.send(mine, next);
                mine.copyFrom(HostBuffer.allocate(DataType.BF16, length)); // it may be changed at once
                communicator.receive(theirs, previous);
                assertSame(theirs, filled(DataType.BF16, length, previous));
            }
            communicator.sendObject(List.of("from", "rank", Integer.toString(rank)), next);
            assertThat(communicator.receiveObject(previous, List.class))
                    .isEqualTo(List.of("from", "rank", "" + previous));
            communicator.barrier();
            return true;
        });
    }

    /** Something of the user's that travels. */
    public record Note(UUID id, List<Integer> numbers, String text, float[] weights) {}

    /** Something that nobody registered. */
    public record Stranger(int number) {}

    @ParameterizedTest
    @MethodSource("sizes")
    void objectsOfRegisteredClassesReachEverybody(int size) {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(size)).withObjects(Note.class);
        UUID id = UUID.randomUUID();
        onEvery(size, spec, communicator -> {
            int root = size - 1;
            boolean isRoot = communicator.rankInGroup() == root;
            Note sent = new Note(id, new ArrayList<>(List.of(1, 2, 3)), "x".repeat(100_000), new float[] {1, 2});
            Note got = communicator.broadcastObject(isRoot ? sent : null, root, Note.class);
            assertThat(got.id()).isEqualTo(id);
            assertThat(got.numbers()).containsExactly(1, 2, 3);
            assertThat(got.text()).hasSize(100_000);
            assertThat(got.weights()).containsExactly(1, 2);
            HashMap<String, Object> map = new HashMap<>(Map.of("a", 1, "b", new int[] {7}));
            assertThat(communicator.broadcastObject(isRoot ? map : null, root, HashMap.class))
                    .containsKeys("a", "b");
            assertThatThrownBy(() -> {
                        if (isRoot) {
                            communicator.broadcastObject(List.of(new Stranger(1)), root, List.class);
                        } else {
                            throw new CommunicatorException(
                                    LockstepException.report(ErrorCode.UNREGISTERED_CLASS, "Stranger withObjects"));
                        }
                    })
                    .hasMessageContaining("UNREGISTERED_CLASS")
                    .hasMessageContaining("Stranger")
                    .hasMessageContaining("withObjects");
            return true;
        });
    }

    @Test
    void wrongArgumentsAreRefusedBeforeAnythingIsSent() {
        onEvery(2, communicator -> {
            HostBuffer four = HostBuffer.allocate(DataType.I32, 4);
            HostBuffer nine = HostBuffer.allocate(DataType.I32, 9);
            assertThatThrownBy(() -> communicator.allReduce(four, ReduceOp.AVG)).hasMessageContaining("floating");
            assertThatThrownBy(() -> communicator.allGather(four, nine)).hasMessageContaining("i32[8]");
            assertThatThrownBy(() -> communicator.reduceScatter(nine, four, ReduceOp.SUM))
                    .hasMessageContaining("i32[8]");
            assertThatThrownBy(() -> communicator.broadcast(four, 2)).hasMessageContaining("root (2)");
            assertThatThrownBy(() -> communicator.send(four, communicator.rankInGroup()))
                    .hasMessageContaining("itself");
            HostBuffer all = HostBuffer.allocate(DataType.I32, 8);
            assertThatThrownBy(() -> communicator.allGather(all.slice(1, 4), all))
                    .hasMessageContaining("overlap");
            communicator.barrier();
            return true;
        });
    }

    private List<CommunicatorException> failuresOf(int size, Part<?> part) {
        return failuresOf(size, WorldSpec.of(ParallelSizes.tensor(size)), part);
    }

    private List<CommunicatorException> failuresOf(int size, WorldSpec spec, Part<?> part) {
        return onEvery(
                size,
                spec,
                communicator -> catchThrowableOfType(CommunicatorException.class, () -> part.run(communicator)));
    }

    private static void assertAll(List<CommunicatorException> failures, ErrorCode code, String... texts) {
        for (CommunicatorException failure : failures) {
            assertThat(failure).isNotNull();
            assertThat(failure.code()).as(failure.getMessage()).isEqualTo(code);
            assertThat(failure.getMessage()).contains(texts);
        }
    }

    @Test
    void anotherOperationIsToldToEveryRank() {
        List<CommunicatorException> failures = failuresOf(3, communicator -> {
            communicator.barrier();
            HostBuffer x = HostBuffer.allocate(DataType.F32, 1000);
            if (communicator.rankInGroup() == 1) {
                communicator.allGather(x, HostBuffer.allocate(DataType.F32, 3000));
            } else {
                communicator.allReduce(x, ReduceOp.SUM);
            }
            return null;
        });
        assertAll(
                failures,
                ErrorCode.COLLECTIVE_MISMATCH,
                "all_reduce #2 sum f32[1000]",
                "all_gather #2 f32[1000]",
                "rank 1",
                "operation");
    }

    @Test
    void anotherCountTypeOpOrRootIsToldToEveryRank() {
        assertAll(
                failuresOf(4, communicator -> {
                    int length = communicator.rankInGroup() == 2 ? 10_000 : 10_001;
                    communicator.allReduce(HostBuffer.allocate(DataType.F32, length), ReduceOp.SUM);
                    return null;
                }),
                ErrorCode.COLLECTIVE_MISMATCH,
                "f32[10000]",
                "f32[10001]",
                "count differ",
                "rank 2");
        assertAll(
                failuresOf(2, communicator -> {
                    DataType type = communicator.rankInGroup() == 0 ? DataType.F32 : DataType.I32;
                    communicator.allReduce(HostBuffer.allocate(type, 4), ReduceOp.SUM);
                    return null;
                }),
                ErrorCode.COLLECTIVE_MISMATCH,
                "sum f32[4]",
                "sum i32[4]",
                "type differ");
        assertAll(
                failuresOf(2, communicator -> {
                    ReduceOp op = communicator.rankInGroup() == 0 ? ReduceOp.MIN : ReduceOp.MAX;
                    communicator.allReduce(HostBuffer.allocate(DataType.F32, 4), op);
                    return null;
                }),
                ErrorCode.COLLECTIVE_MISMATCH,
                "reduce op differ");
        assertAll(
                failuresOf(2, communicator -> {
                    communicator.broadcast(HostBuffer.allocate(DataType.F32, 4), communicator.rankInGroup());
                    return null;
                }),
                ErrorCode.COLLECTIVE_MISMATCH,
                "root 0",
                "root 1",
                "root differ");
    }

    @Test
    void aTransferAgainstAnOperationOfTheGroupIsToldToEveryRank() {
        assertAll(
                failuresOf(3, communicator -> {
                    if (communicator.rankInGroup() == 2) {
                        communicator.receive(HostBuffer.allocate(DataType.F32, 4), 0);
                    } else {
                        communicator.barrier();
                    }
                    return null;
                }),
                ErrorCode.COLLECTIVE_MISMATCH,
                "barrier #1",
                "receive #1 f32[4]");
        assertAll(
                failuresOf(2, communicator -> {
                    if (communicator.rankInGroup() == 0) {
                        communicator.send(HostBuffer.allocate(DataType.F32, 4), 1);
                        communicator.barrier(); // buffered, the message looks received to its sender until the next
                    }
                    communicator.barrier();
                    return null;
                }),
                ErrorCode.COLLECTIVE_MISMATCH,
                "send #1 f32[4]",
                "barrier #1");
    }

    @Test
    void whoDoesNotComeIsNamedWhenTheDeadlinePasses() {
        WorldSpec spec = WorldSpec.of(ParallelSizes.tensor(3)).withOperationTimeout(Duration.ofMillis(300));
        CountDownLatch over = new CountDownLatch(2);
        List<CommunicatorException> failures = onEvery(3, spec, communicator -> {
            if (communicator.rankInGroup() == 2) {
                over.await();
                return null;
            }
            CommunicatorException failure = catchThrowableOfType(
                    CommunicatorException.class,
                    () -> communicator.allReduce(HostBuffer.allocate(DataType.F32, 4), ReduceOp.SUM));
            over.countDown();
            return failure;
        });
        assertAll(
                failures.subList(0, 2),
                ErrorCode.COLLECTIVE_TIMEOUT,
                "all_reduce #1 sum f32[4]",
                "={0,1,2}",
                "0.3 s",
                "rank 2 did not come");
    }

    @Test
    void aPeerThatLeftIsNamed() {
        CyclicBarrier together = new CyclicBarrier(3);
        List<CommunicatorException> failures = onEvery(3, communicator -> {
            communicator.barrier();
            together.await();
            if (communicator.rankInGroup() == 1) {
                communicator.close();
                communicator.close();
                return catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            }
            return catchThrowableOfType(CommunicatorException.class, communicator::barrier);
        });
        assertAll(
                List.of(failures.get(0), failures.get(2)),
                ErrorCode.PEER_LOST,
                "barrier #2",
                "rank 1 left the group",
                "culprit : rank 1  host");
        assertAll(List.of(failures.get(1)), ErrorCode.COMMUNICATOR_CLOSED, "after close");
    }

    @Test
    void abortFreesBlockedPeersAndTheFirstCauseStays() {
        List<CommunicatorException> failures = onEvery(4, communicator -> {
            if (communicator.rankInGroup() == 2) {
                communicator.abort(new IllegalStateException("the row is cursed"));
                communicator.abort(new IllegalStateException("second thoughts"));
            }
            return catchThrowableOfType(
                    CommunicatorException.class,
                    () -> communicator.allReduce(HostBuffer.allocate(DataType.F32, 10_000), ReduceOp.SUM));
        });
        assertAll(failures, ErrorCode.ABORTED, "aborted because of rank 2", "the row is cursed");
    }

    @Test
    void abortFromAnotherThreadFreesTheOneInside() {
        List<CommunicatorException> failures = onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 0) {
                Thread watchdog = new Thread(() -> communicator.abort(new IllegalStateException("killed")), "watchdog");
                watchdog.start();
            }
            return catchThrowableOfType(
                    CommunicatorException.class,
                    () -> communicator.receive(HostBuffer.allocate(DataType.F32, 4), 1 - communicator.rankInGroup()));
        });
        assertAll(failures, ErrorCode.ABORTED, "because of rank 0", "killed");
    }

    @Test
    void anInterruptEndsTheWaitAndFreesThePeers() {
        CountDownLatch over = new CountDownLatch(2);
        List<CommunicatorException> failures = onEvery(3, communicator -> {
            if (communicator.rankInGroup() == 2) {
                over.await(); // computing, it seems
                return catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            }
            if (communicator.rankInGroup() == 1) {
                Thread.currentThread().interrupt();
            }
            CommunicatorException failure = catchThrowableOfType(CommunicatorException.class, communicator::barrier);
            assertThat(Thread.interrupted()).isEqualTo(communicator.rankInGroup() == 1);
            over.countDown();
            return failure;
        });
        assertAll(failures, ErrorCode.ABORTED, "because of rank 1", "interrupted");
    }

    @Test
    void twoThreadsInOneCommunicatorAreRefused() {
        CountDownLatch refused = new CountDownLatch(1);
        onEvery(2, communicator -> {
            if (communicator.rankInGroup() == 1) {
                refused.await();
                communicator.send(Buffer.ofInts(7), 0);
                communicator.barrier();
                return true;
            }
            HostBuffer got = Buffer.ofInts(0);
            Thread inside = new Thread(() -> communicator.receive(got, 1), "the-first");
            inside.start();
            await().until(() -> inside.getState() == Thread.State.TIMED_WAITING || blockedInSelect(inside));
            CommunicatorException failure =
                    catchThrowableOfType(CommunicatorException.class, () -> communicator.send(got, 1));
            assertAll(
                    List.of(failure),
                    ErrorCode.CONCURRENT_USE,
                    "'the-first'",
                    Thread.currentThread().getName());
            refused.countDown();
            inside.join();
            assertThat(got.get(0)).isEqualTo(7); // the first was not disturbed
            communicator.barrier();
            return true;
        });
    }

    private static boolean blockedInSelect(Thread thread) {
        return List.of(thread.getStackTrace()).stream()
                .anyMatch(frame -> frame.getMethodName().equals("select"));
    }

    @Test
    void trafficIsCounted() {
        onEvery(2, communicator -> {
            assertThat(communicator.traffic()).isEqualTo(Traffic.NONE);
            communicator.allReduce(HostBuffer.allocate(DataType.F32, 100), ReduceOp.SUM);
            communicator.barrier();
            assertThat(communicator.traffic().operations()).isEqualTo(2);
            assertThat(communicator.traffic().bytes()).isEqualTo(400);
            assertThat(communicator.traffic().nanos()).isPositive();
            return true;
        });
    }
}
