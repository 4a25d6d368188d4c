package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;

/**
 * What every communicator does around carrying: checks arguments, admits one thread, numbers and records operations,
 * counts traffic, queues what is asynchronous. A backend adds how the data move.
 *
 * <p>Threads: as {@link Communicator}. The protected methods run in the thread that was admitted.
 */
public abstract class GuardedCommunicator extends LiveCommunicator {
    private final OperationLog log = new OperationLog();
    private long sequence; // of the operations of the whole group; only the admitted thread touches it

    /**
     * Performs an operation whose buffers are where {@code buffer} is.
     *
     * @param operation calls the carrier of that memory, once
     */
    protected abstract void carry(OperationTag tag, Buffer buffer, Consumer<? super Carrier> operation);

    /** Without a deadline the communicator's own holds. */
    protected abstract void doBarrier(OperationTag tag, Optional<Duration> deadline);

    /** All at once, in any order between different peers; at least one. */
    protected abstract void doTransfers(List<Transfer> transfers);

    protected abstract <T> T doBroadcastObject(OperationTag tag, @Nullable T value, int root, Class<T> type);

    protected abstract <T> List<T> doAllGatherObject(OperationTag tag, T value, Class<T> type);

    protected abstract void doSendObject(Object value, int peer);

    protected abstract <T> T doReceiveObject(int peer, Class<T> type);

    /** Whether there is a carrier for {@code buffer}; false is an IllegalArgumentException for the caller. */
    protected abstract boolean isMine(Buffer buffer);

    /**
     * Whether this rank can send to that one, and receive, where {@code buffer} is; false is an IllegalArgumentException for the
     * caller.
     *
     * @param buffer null for an object
     */
    protected abstract boolean reaches(@Nullable Buffer buffer, int peer);

    /** Whether every rank of the group {@link #reaches} every other: the same on all of them. */
    protected abstract boolean isWhole(Buffer buffer);

    /** What was called and is not known to be complete. From any thread. */
    protected abstract List<OperationTag> underWay();

    @Override
    public final void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        Arguments.allReduce(this, send, receive, op);
        enter(Operation.ALL_REDUCE);
        try {
            OperationTag tag = tag(Operation.ALL_REDUCE, op, send.type(), send.length(), -1);
            long start = log.begin(tag, send.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.allReduce(tag, send, receive, op));
            log.end(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        Arguments.reduce(this, send, receive, op, root);
        enter(Operation.REDUCE);
        try {
            OperationTag tag = tag(Operation.REDUCE, op, send.type(), send.length(), root);
            long start = log.begin(tag, send.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.reduce(tag, send, receive, op, root));
            log.end(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void broadcast(Buffer send, Buffer receive, int root) {
        Arguments.broadcast(this, send, receive, root);
        enter(Operation.BROADCAST);
        try {
            OperationTag tag = tag(Operation.BROADCAST, null, send.type(), send.length(), root);
            long start = log.begin(tag, send.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.broadcast(tag, send, receive, root));
            log.end(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void allGather(Buffer send, Buffer receive) {
        allGather(Operation.ALL_GATHER, send, receive, Blocks.even(size(), send.length()), send.length(), -1);
    }

    @Override
    public final void allGatherV(Buffer send, Buffer receive, long... counts) {
        Blocks blocks = Arguments.blocks(this, "counts", counts);
        allGather(Operation.ALL_GATHER_V, send, receive, blocks, blocks.total(), blocks.digest());
    }

    private void allGather(Operation operation, Buffer send, Buffer receive, Blocks blocks, long count, int root) {
        Arguments.allGather(this, send, receive, blocks);
        enter(operation);
        try {
            OperationTag tag = tag(operation, null, send.type(), count, root);
            long start = log.begin(tag, receive.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.allGather(tag, send, receive, blocks));
            log.end(receive.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        Blocks blocks = Blocks.even(size(), receive.length());
        reduceScatter(Operation.REDUCE_SCATTER, send, receive, op, blocks, receive.length(), -1);
    }

    @Override
    public final void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        Blocks blocks = Arguments.blocks(this, "counts", counts);
        reduceScatter(Operation.REDUCE_SCATTER_V, send, receive, op, blocks, blocks.total(), blocks.digest());
    }

    private void reduceScatter(
            Operation operation, Buffer send, Buffer receive, ReduceOp op, Blocks blocks, long count, int root) {
        Arguments.reduceScatter(this, send, receive, op, blocks);
        enter(operation);
        try {
            OperationTag tag = tag(operation, op, send.type(), count, root);
            long start = log.begin(tag, send.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.reduceScatter(tag, send, receive, op, blocks));
            log.end(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void gather(Buffer send, @Nullable Buffer receive, int root) {
        Buffer all = Arguments.gather(this, send, receive, root);
        enter(Operation.GATHER);
        try {
            OperationTag tag = tag(Operation.GATHER, null, send.type(), send.length(), root);
            long start = log.begin(tag, send.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.gather(tag, send, all, root));
            log.end(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void scatter(@Nullable Buffer send, Buffer receive, int root) {
        Buffer all = Arguments.scatter(this, send, receive, root);
        enter(Operation.SCATTER);
        try {
            OperationTag tag = tag(Operation.SCATTER, null, receive.type(), receive.length(), root);
            long start = log.begin(tag, receive.bytes(), queuedAt());
            carry(tag, receive, carrier -> carrier.scatter(tag, all, receive, root));
            log.end(receive.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void allToAll(Buffer send, Buffer receive) {
        Blocks blocks = Arguments.allToAll(this, send, receive);
        allToAll(Operation.ALL_TO_ALL, send, blocks, receive, blocks, send.length());
    }

    @Override
    public final void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        Blocks sendBlocks = Arguments.blocks(this, "sendCounts", sendCounts);
        Blocks receiveBlocks = Arguments.blocks(this, "receiveCounts", receiveCounts);
        Arguments.allToAll(this, send, sendBlocks, receive, receiveBlocks);
        // Each rank has counts of its own: each pair of ranks compares those between them, with the data.
        allToAll(Operation.ALL_TO_ALL_V, send, sendBlocks, receive, receiveBlocks, 0);
    }

    private void allToAll(
            Operation operation, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks, long count) {
        enter(operation);
        try {
            OperationTag tag = tag(operation, null, send.type(), count, -1);
            long start = log.begin(tag, send.bytes(), queuedAt());
            carry(tag, send, carrier -> carrier.allToAll(tag, send, sendBlocks, receive, receiveBlocks));
            log.end(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void send(Buffer buffer, int peer) {
        Arguments.transfer(this, buffer, peer);
        transfer("send", new Transfer(true, buffer, peer));
    }

    @Override
    public final void receive(Buffer buffer, int peer) {
        Arguments.transfer(this, buffer, peer);
        transfer("receive", new Transfer(false, buffer, peer));
    }

    private void transfer(String operation, Transfer transfer) {
        enter(operation);
        try {
            long start = log.begin(transfer, size(), queuedAt());
            doTransfers(List.of(transfer));
            log.end(transfer.buffer().bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void barrier() {
        barrier(Optional.empty());
    }

    @Override
    public final void barrier(Duration deadline) {
        barrier(Optional.of(Arguments.deadline(deadline)));
    }

    private void barrier(Optional<Duration> deadline) {
        enter(Operation.BARRIER, deadline.orElseGet(this::limit));
        try {
            OperationTag tag = tag(Operation.BARRIER, null, null, 0, -1);
            long start = log.beginTimed(tag, queuedAt());
            doBarrier(tag, deadline);
            log.endTimed(1, 0, start);
        } finally {
            leave();
        }
    }

    @Override
    public final <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        Arguments.broadcastObject(this, value, root);
        enter(Operation.BROADCAST_OBJECT);
        try {
            OperationTag tag = tag(Operation.BROADCAST_OBJECT, null, null, 0, root);
            long start = log.beginTimed(tag, queuedAt());
            T result = doBroadcastObject(tag, value, root, type);
            log.endTimed(1, 0, start);
            return result;
        } catch (CommunicatorException failure) {
            throw dead(failure);
        } finally {
            leave();
        }
    }

    @Override
    public final <T> List<T> allGatherObject(T value, Class<T> type) {
        enter(Operation.ALL_GATHER_OBJECT);
        try {
            OperationTag tag = tag(Operation.ALL_GATHER_OBJECT, null, null, 0, -1);
            long start = log.beginTimed(tag, queuedAt());
            List<T> result = doAllGatherObject(tag, value, type);
            log.endTimed(1, 0, start);
            return result;
        } catch (CommunicatorException failure) {
            throw dead(failure);
        } finally {
            leave();
        }
    }

    @Override
    public final void sendObject(Object value, int peer) {
        Arguments.transfer(this, peer);
        enter(Operation.SEND_OBJECT);
        try {
            long start = log.beginObject(true, peer, size(), queuedAt());
            doSendObject(value, peer);
            log.endTimed(1, 0, start);
        } catch (CommunicatorException failure) {
            throw dead(failure);
        } finally {
            leave();
        }
    }

    @Override
    public final <T> T receiveObject(int peer, Class<T> type) {
        Arguments.transfer(this, peer);
        enter("receive_object");
        try {
            long start = log.beginObject(false, peer, size(), queuedAt());
            T result = doReceiveObject(peer, type);
            log.endTimed(1, 0, start);
            return result;
        } catch (CommunicatorException failure) {
            throw dead(failure);
        } finally {
            leave();
        }
    }

    /** An object that cannot be written, or read, is one that the peers would go on waiting for. */
    private CommunicatorException dead(CommunicatorException failure) {
        abort(failure);
        return failure;
    }

    @Override
    public final void grouped(Consumer<? super Communicator> operations) {
        requireUsable("grouped");
        Recording recording = new Recording(this);
        try {
            operations.accept(recording);
        } finally {
            recording.end();
        }
        List<Transfer> transfers = recording.transfers();
        if (!transfers.isEmpty()) {
            transferAll(transfers);
        }
        recording.others().forEach(Runnable::run);
    }

    private void transferAll(List<Transfer> transfers) {
        long bytes = 0;
        for (Transfer transfer : transfers) {
            bytes += transfer.buffer().bytes();
        }
        enter("grouped transfers");
        try {
            long start = log.beginTimed(transfers, size(), queuedAt());
            doTransfers(transfers);
            log.endTimed(transfers.size(), bytes, start);
        } finally {
            leave();
        }
    }

    @Override
    public final Traffic traffic() {
        return log.traffic();
    }

    @Override
    public final Traffic traffic(Operation operation) {
        return log.traffic(operation);
    }

    @Override
    public final Flight flight() {
        return log.flight(group(), rankInGroup()).withUnderWay(underWay());
    }

    private OperationTag tag(
            Operation operation, @Nullable ReduceOp op, @Nullable DataType type, long count, int root) {
        return new OperationTag(++sequence, operation, op == null ? null : op.kind(), type, count, root);
    }
}
