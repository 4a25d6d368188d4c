package org.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.lockstep.FaultCase;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.HostBuffer;

/** Wrong arguments are refused before anything is sent, with what would be right; the communicator goes on. */
public interface ArgumentsContract extends Ranks {
    private static HostBuffer ints(int length) {
        return HostBuffer.allocate(DataType.I32, length);
    }

    private static HostBuffer floats(int length) {
        return HostBuffer.allocate(DataType.F32, length);
    }

    private static void assertRefused(ThrowingCallable call, String... texts) {
        assertThatThrownBy(call).isInstanceOf(IllegalArgumentException.class).hasMessageContainingAll(texts);
    }

    /** Runs it on both ranks of a pair, then shows that nothing was sent and the pair still works. */
    private void onPair(Part<Communicator, ?> part) {
        onEvery(2, communicator -> {
            part.run(communicator);
            assertThat(communicator.traffic()).isEqualTo(Traffic.NONE);
            communicator.barrier();
            return true;
        });
    }

    @Test
    default void ofReductions() {
        onPair(all -> {
            assertRefused(() -> all.allReduce(ints(4), ReduceOp.AVG), "avg is for floating types, not i32");
            assertRefused(
                    () -> all.allReduce(ints(4), ReduceOp.premultipliedSum(1)), "premultiplied_sum is for floating");
            assertRefused(() -> all.allReduce(ints(4), ints(5), ReduceOp.SUM), "i32[4]", "i32[5]", "must be equal");
            assertRefused(() -> all.allReduce(ints(4), floats(4), ReduceOp.SUM), "i32[4]", "f32[4]");
            HostBuffer whole = ints(9);
            assertRefused(
                    () -> all.allReduce(whole.slice(0, 4), whole.slice(2, 4), ReduceOp.SUM),
                    "send and receive overlap; they may be the same or apart");
            assertRefused(() -> all.reduce(ints(4), ReduceOp.SUM, 2), "root (2) is a rank in group, 0..1");
            assertRefused(() -> all.reduce(ints(4), ReduceOp.SUM, -1), "root (-1)");
            assertRefused(() -> all.reduceScatter(ints(9), ints(4), ReduceOp.SUM), "send must be i32[8]", "i32[9]");
            assertRefused(() -> all.reduceScatter(ints(8), ints(4), ReduceOp.AVG), "floating");
            assertRefused(
                    () -> all.reduceScatter(whole.slice(0, 8), whole.slice(1, 4), ReduceOp.SUM),
                    "receive begins at element 1 of send",
                    "it may only overlap as block " + all.rankInGroup());
            assertRefused(
                    () -> all.reduceScatterV(ints(6), ints(3), ReduceOp.SUM, 3),
                    "counts are 1, but must be one for each of the 2 ranks");
            assertRefused(() -> all.reduceScatterV(ints(6), ints(3), ReduceOp.SUM, 3, 4), "send must be i32[7]");
            assertRefused(() -> all.reduceScatterV(ints(6), ints(3), ReduceOp.SUM, -3, 9), "count (-3) of rank 0");
            return true;
        });
    }

    @Test
    default void ofWhatMoves() {
        onPair(all -> {
            assertRefused(() -> all.broadcast(ints(4), 2), "root (2)", "0..1");
            assertRefused(() -> all.broadcast(ints(4), floats(4), 0), "i32[4]", "f32[4]");
            assertRefused(() -> all.allGather(ints(4), ints(9)), "receive must be i32[8] and send i32[4]", "i32[9]");
            assertRefused(() -> all.allGather(ints(4), floats(8)), "i32[8]", "f32[8]");
            HostBuffer whole = ints(9);
            assertRefused(() -> all.allGather(whole.slice(1, 4), whole.slice(0, 8)), "overlap", "from");
            assertRefused(() -> all.allGatherV(ints(3), ints(6), 3, 3, 0), "counts are 3", "2 ranks");
            assertRefused(() -> all.allGatherV(ints(3), ints(6), 4, 4), "receive must be i32[8] and send i32[4]");
            assertRefused(
                    () -> all.allGatherV(ints(3), ints(6), Long.MAX_VALUE, 1), "more than " + Long.MAX_VALUE, "rank 1");
            assertRefused(() -> all.gather(ints(4), null, all.rankInGroup()), "the root", "gives receive, not null");
            assertRefused(() -> all.gather(ints(4), ints(7), all.rankInGroup()), "receive must be i32[8]");
            assertRefused(() -> all.gather(ints(4), ints(8), 5), "root (5)");
            assertRefused(() -> all.scatter(null, ints(4), all.rankInGroup()), "the root", "gives send, not null");
            assertRefused(() -> all.scatter(ints(7), ints(4), all.rankInGroup()), "send must be i32[8]");
            assertRefused(() -> all.scatter(ints(8), ints(4), -2), "root (-2)");
            return true;
        });
    }

    @Test
    default void ofAllToAll() {
        onPair(all -> {
            HostBuffer x = ints(8);
            assertRefused(() -> all.allToAll(x, x), "overlap; here they must be apart");
            assertRefused(() -> all.allToAll(ints(7), ints(7)), "(7) is not a multiple of the size (2)");
            assertRefused(() -> all.allToAll(ints(8), ints(6)), "i32[8]", "i32[6]");
            long[] even = {4, 4};
            assertRefused(() -> all.allToAllV(x, even, x, even), "must be apart");
            assertRefused(() -> all.allToAllV(x, even, ints(7), even), "i32[7]", "make 8", "must be equal");
            assertRefused(() -> all.allToAllV(x, even, floats(8), even), "of one type");
            assertRefused(() -> all.allToAllV(x, new long[] {8}, ints(8), even), "sendCounts are 1");
            assertRefused(() -> all.allToAllV(x, even, ints(8), new long[3]), "receiveCounts are 3");
            assertRefused(
                    () -> all.allToAllV(x, even, ints(8), new long[] {3, 5}),
                    "rank " + all.rankInGroup() + " in group sends itself 4 elements, but receives");
            return true;
        });
    }

    @Test
    default void ofTransfersObjectsAndDeadlines() {
        onPair(all -> {
            int me = all.rankInGroup();
            assertRefused(() -> all.send(ints(4), me), "peer (" + me + ") is this rank itself");
            assertRefused(() -> all.receive(ints(4), 2), "peer (2) is a rank in group, 0..1");
            assertRefused(() -> all.sendObject("x", me), "itself");
            assertRefused(() -> all.receiveObject(-1, String.class), "peer (-1)");
            assertRefused(() -> all.broadcastObject(null, me, String.class), "gives the object, not null");
            assertRefused(() -> all.broadcastObject("x", 2, String.class), "root (2)");
            assertRefused(() -> all.barrier(Duration.ZERO), "deadline (PT0S) must be positive");
            assertRefused(() -> all.barrier(Duration.ofSeconds(-1)), "must be positive");
            return true;
        });
        onEvery(1, alone -> {
            assertRefused(() -> alone.send(ints(1)), "peer (0) is this rank itself");
            return true;
        });
        onEvery(2, all -> {
            all.barrier(Duration.ofSeconds(Long.MAX_VALUE)); // longer than a clock can tell
            return true;
        });
    }

    /** Memory of a device that no rank of these groups has. */
    record Elsewhere(DataType type, long length) implements Buffer {
        @Override
        public Device device() {
            return new Device(Device.Kind.CUDA, 3);
        }

        @Override
        public Buffer slice(long from, long count) {
            return new Elsewhere(type, count);
        }

        @Override
        public Object memory() {
            return this;
        }

        @Override
        public long position() {
            return 0;
        }

        @Override
        public HostBuffer toHost() {
            throw new UnsupportedOperationException();
        }

        @Override
        public void copyFrom(HostBuffer source) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void copyTo(HostBuffer target) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void close() {}
    }

    @Test
    default void ofBuffersElsewhere() {
        Buffer far = new Elsewhere(DataType.I32, 4);
        onPair(all -> {
            int me = all.rankInGroup();
            for (ThrowingCallable call : new ThrowingCallable[] {
                () -> all.allReduce(far, ReduceOp.SUM),
                () -> all.allReduce(far, ints(4), ReduceOp.SUM),
                () -> all.reduce(ints(4), far, ReduceOp.SUM, 0),
                () -> all.broadcast(far, 0),
                () -> all.allGather(far, ints(8)),
                () -> all.reduceScatter(ints(8), far, ReduceOp.SUM),
                () -> all.gather(far, ints(8), me),
                () -> all.gather(far, null, 1 - me),
                () -> all.scatter(ints(8), far, me),
                () -> all.allToAll(far, ints(4)),
                () -> all.send(far, 1 - me),
                () -> all.grouped(group -> group.receive(far, 1 - me)),
            }) {
                assertRefused(call, "cuda:3", "cannot travel in", "whose ranks use another device");
            }
            return true;
        });
    }

    @Test
    @FaultCase("F25")
    default void lengthsThatNoMemoryHasAreRefusedAndNeverWrap() {
        Buffer vast = new Elsewhere(DataType.U8, Long.MAX_VALUE / 2 + 1);
        onPair(all -> {
            assertRefused(() -> all.allGather(vast, ints(8)), "more than " + Long.MAX_VALUE);
            assertRefused(() -> all.reduceScatter(ints(8), vast, ReduceOp.SUM), "more than " + Long.MAX_VALUE);
            return true;
        });
    }

    @Test
    default void emptyBlocksOverlapNothing() {
        HostBuffer whole = floats(8);
        onEvery(2, all -> {
            int me = all.rankInGroup();
            HostBuffer receive = floats(8);
            HostBuffer send = me == 0 ? receive.slice(3, 0) : whole; // nothing, in the middle of what is received
            all.allGatherV(send, receive, 0, 8);
            return true;
        });
    }
}
