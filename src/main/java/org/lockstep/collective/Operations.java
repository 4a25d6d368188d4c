package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;

/**
 * The operations of a communicator, on {@link #terms} of their own: what is around carrying. Each checks its arguments, is
 * admitted, numbered, recorded and counted, and is then carried out as the communicator does it.
 */
abstract class Operations implements Communicator {
    /** Where they are carried out. */
    abstract GuardedCommunicator real();

    /** What holds for those that are called here. */
    protected abstract OperationTerms terms();

    @Override
    public final Communicator within(Duration deadline) {
        return new CommunicatorView(real(), terms().exactly(deadline));
    }

    @Override
    public final void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        Arguments.allReduce(real(), send, receive, op);
        ReduceOp rounded = op.of(send.type());
        perform(
                Operation.ALL_REDUCE,
                op,
                send.length(),
                -1,
                send,
                send.bytes(),
                send,
                (carrier, tag) -> carrier.allReduce(tag, send, receive, rounded));
    }

    @Override
    public final void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        Arguments.reduce(real(), send, receive, op, root);
        ReduceOp rounded = op.of(send.type());
        perform(
                Operation.REDUCE,
                op,
                send.length(),
                root,
                send,
                send.bytes(),
                send,
                (carrier, tag) -> carrier.reduce(tag, send, receive, rounded, root));
    }

    @Override
    public final void broadcast(Buffer send, Buffer receive, int root) {
        Arguments.broadcast(real(), send, receive, root);
        Buffer read = rankInGroup() == root ? send : null;
        perform(
                Operation.BROADCAST,
                null,
                send.length(),
                root,
                send,
                send.bytes(),
                read,
                (carrier, tag) -> carrier.broadcast(tag, send, receive, root));
    }

    @Override
    public final void allGather(Buffer send, Buffer receive) {
        allGather(Operation.ALL_GATHER, send, receive, Blocks.even(size(), send.length()), send.length(), -1);
    }

    @Override
    public final void allGatherV(Buffer send, Buffer receive, long... counts) {
        Blocks blocks = Arguments.blocks(real(), "counts", counts);
        allGather(Operation.ALL_GATHER_V, send, receive, blocks, blocks.total(), blocks.digest());
    }

    private void allGather(Operation operation, Buffer send, Buffer receive, Blocks blocks, long count, int root) {
        Arguments.allGather(real(), send, receive, blocks);
        perform(
                operation,
                null,
                count,
                root,
                receive,
                receive.bytes(),
                send,
                (carrier, tag) -> carrier.allGather(tag, send, receive, blocks));
    }

    @Override
    public final void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        Blocks blocks = Blocks.even(size(), receive.length());
        reduceScatter(Operation.REDUCE_SCATTER, send, receive, op, blocks, receive.length(), -1);
    }

    @Override
    public final void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        Blocks blocks = Arguments.blocks(real(), "counts", counts);
        reduceScatter(Operation.REDUCE_SCATTER_V, send, receive, op, blocks, blocks.total(), blocks.digest());
    }

    private void reduceScatter(
            Operation operation, Buffer send, Buffer receive, ReduceOp op, Blocks blocks, long count, int root) {
        Arguments.reduceScatter(real(), send, receive, op, blocks);
        ReduceOp rounded = op.of(send.type());
        perform(
                operation,
                op,
                count,
                root,
                send,
                send.bytes(),
                send,
                (carrier, tag) -> carrier.reduceScatter(tag, send, receive, rounded, blocks));
    }

    @Override
    public final void gather(Buffer send, @Nullable Buffer receive, int root) {
        Buffer all = Arguments.gather(real(), send, receive, root);
        perform(
                Operation.GATHER,
                null,
                send.length(),
                root,
                send,
                size() * send.bytes(),
                send,
                (carrier, tag) -> carrier.gather(tag, send, all, root));
    }

    @Override
    public final void scatter(@Nullable Buffer send, Buffer receive, int root) {
        Buffer all = Arguments.scatter(real(), send, receive, root);
        perform(
                Operation.SCATTER,
                null,
                receive.length(),
                root,
                receive,
                size() * receive.bytes(),
                all,
                (carrier, tag) -> carrier.scatter(tag, all, receive, root));
    }

    @Override
    public final void allToAll(Buffer send, Buffer receive) {
        Blocks blocks = Arguments.allToAll(real(), send, receive);
        allToAll(Operation.ALL_TO_ALL, send, blocks, receive, blocks, send.length());
    }

    @Override
    public final void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        Blocks sendBlocks = Arguments.blocks(real(), "sendCounts", sendCounts);
        Blocks receiveBlocks = Arguments.blocks(real(), "receiveCounts", receiveCounts);
        Arguments.allToAll(real(), send, sendBlocks, receive, receiveBlocks);
        // Each rank has counts of its own: each pair of ranks compares those between them, with the data.
        allToAll(Operation.ALL_TO_ALL_V, send, sendBlocks, receive, receiveBlocks, 0);
    }

    private void allToAll(
            Operation operation, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks, long count) {
        perform(
                operation,
                null,
                count,
                -1,
                send,
                Math.max(send.bytes(), receive.bytes()),
                send,
                (carrier, tag) -> carrier.allToAll(tag, send, sendBlocks, receive, receiveBlocks));
    }

    /**
     * One operation of the whole group.
     *
     * @param data whose bytes, type and memory are the operation's
     * @param moved bytes that the busiest rank sends or receives, by which the deadline grows
     * @param read what it takes from this rank, if anything
     */
    private void perform(
            Operation operation,
            @Nullable ReduceOp op,
            long count,
            int root,
            Buffer data,
            long moved,
            @Nullable Buffer read,
            GuardedCommunicator.Step step) {
        GuardedCommunicator real = real();
        long bytes = data.bytes();
        Duration limit = real.enter(operation, terms(), moved);
        try {
            if (read != null) {
                real.look(operation, read);
            }
            OperationTag tag = real.tag(operation, op, data.type(), count, root);
            long start = real.log().begin(tag, bytes, real.queuedAt());
            real.carry(tag, limit, data, step);
            real.log().end(bytes, start);
        } finally {
            real.leave();
        }
    }

    @Override
    public final void send(Buffer buffer, int peer) {
        Arguments.transfer(real(), buffer, peer);
        transfer("send", new Transfer(true, buffer, peer));
    }

    @Override
    public final void receive(Buffer buffer, int peer) {
        Arguments.transfer(real(), buffer, peer);
        transfer("receive", new Transfer(false, buffer, peer));
    }

    private void transfer(String operation, Transfer transfer) {
        GuardedCommunicator real = real();
        long bytes = transfer.buffer().bytes();
        Duration limit = real.enter(operation, terms(), bytes);
        try {
            real.look(transfer);
            long start = real.log().begin(transfer, size(), real.queuedAt());
            real.doTransfers(limit, List.of(transfer));
            real.log().end(bytes, start);
        } finally {
            real.leave();
        }
    }

    @Override
    public final void grouped(Consumer<? super Communicator> operations) {
        real().requireUsable("grouped");
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
        GuardedCommunicator real = real();
        long bytes = 0;
        for (Transfer transfer : transfers) {
            bytes += transfer.buffer().bytes();
        }
        Duration limit = real.enter("grouped transfers", terms(), bytes);
        try {
            transfers.forEach(real::look);
            long start = real.log().beginTimed(transfers, size(), real.queuedAt());
            real.doTransfers(limit, transfers);
            real.log().endTimed(transfers.size(), bytes, start);
        } finally {
            real.leave();
        }
    }

    @Override
    public final void barrier() {
        GuardedCommunicator real = real();
        Duration limit = real.enter(Operation.BARRIER, terms(), 0);
        try {
            OperationTag tag = real.tag(Operation.BARRIER, null, null, 0, -1);
            long start = real.log().beginTimed(tag, real.queuedAt());
            real.doBarrier(tag, limit);
            real.log().endTimed(1, 0, start);
        } finally {
            real.leave();
        }
    }

    @Override
    public final <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        Arguments.broadcastObject(real(), value, root);
        return object(
                Operation.BROADCAST_OBJECT,
                root,
                (real, tag, limit) -> real.doBroadcastObject(tag, limit, value, root, type));
    }

    @Override
    public final <T> List<T> allGatherObject(T value, Class<T> type) {
        return object(
                Operation.ALL_GATHER_OBJECT, -1, (real, tag, limit) -> real.doAllGatherObject(tag, limit, value, type));
    }

    /** An operation of the whole group on objects. */
    private interface OfObjects<R> {
        R by(GuardedCommunicator real, OperationTag tag, Duration limit);
    }

    private <R> R object(Operation operation, int root, OfObjects<R> body) {
        GuardedCommunicator real = real();
        Duration limit = real.enter(operation, terms(), 0);
        try {
            OperationTag tag = real.tag(operation, null, null, 0, root);
            long start = real.log().beginTimed(tag, real.queuedAt());
            R result = body.by(real, tag, limit);
            real.log().endTimed(1, 0, start);
            return result;
        } catch (CommunicatorException failure) {
            throw dead(failure);
        } finally {
            real.leave();
        }
    }

    @Override
    public final void sendObject(Object value, int peer) {
        Arguments.peer(real(), peer);
        transferObject(Operation.SEND_OBJECT, true, peer, (real, limit) -> {
            real.doSendObject(limit, value, peer);
            return value;
        });
    }

    @Override
    public final <T> T receiveObject(int peer, Class<T> type) {
        Arguments.peer(real(), peer);
        return transferObject("receive_object", false, peer, (real, limit) -> real.doReceiveObject(limit, peer, type));
    }

    /** One side of a transfer of an object. */
    private interface OfObject<R> {
        R by(GuardedCommunicator real, Duration limit);
    }

    private <R> R transferObject(Object operation, boolean sends, int peer, OfObject<R> body) {
        GuardedCommunicator real = real();
        Duration limit = real.enter(operation, terms(), 0);
        try {
            long start = real.log().beginObject(sends, peer, size(), real.queuedAt());
            R result = body.by(real, limit);
            real.log().endTimed(1, 0, start);
            return result;
        } catch (CommunicatorException failure) {
            throw dead(failure);
        } finally {
            real.leave();
        }
    }

    /** An object that cannot be written, or read, is one that the peers would go on waiting for. */
    private CommunicatorException dead(CommunicatorException failure) {
        abort(failure);
        return failure;
    }

    @Override
    public final Traffic traffic() {
        return real().log().traffic();
    }

    @Override
    public final Traffic traffic(Operation operation) {
        return real().log().traffic(operation);
    }
}
