package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;

/**
 * What every communicator does around carrying: checks arguments, admits one thread, numbers operations, counts traffic,
 * queues what is asynchronous. A backend adds how the data move.
 *
 * <p>Threads: as {@link Communicator}. The protected methods run in the thread that was admitted.
 */
public abstract class GuardedCommunicator implements Communicator {
    /** Of operations with fewer bytes one in this many is timed, for it: reading the clock is a tenth of their time. */
    private static final int SAMPLE = 16;

    private static final long SMALL_BYTES = 4096;

    private final AtomicReference<@Nullable Thread> user = new AtomicReference<>();
    private final AtomicBoolean closed = new AtomicBoolean();
    private final AtomicReference<@Nullable WorkQueue> queue = new AtomicReference<>();
    private final AtomicLong operations = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong nanos = new AtomicLong();
    private long sequence; // of the operations of the whole group; only the admitted thread touches it

    protected abstract void doAllReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op);

    protected abstract void doReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root);

    protected abstract void doBroadcast(OperationTag tag, Buffer send, Buffer receive, int root);

    protected abstract void doAllGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks);

    protected abstract void doReduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks);

    /** {@code receive} is null on other ranks than the root. */
    protected abstract void doGather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root);

    /** {@code send} is null on other ranks than the root. */
    protected abstract void doScatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root);

    protected abstract void doAllToAll(
            OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks);

    /** Without a deadline the communicator's own holds. */
    protected abstract void doBarrier(OperationTag tag, Optional<Duration> deadline);

    /** All at once, in any order between different peers; at least one. */
    protected abstract void doTransfers(List<Transfer> transfers);

    protected abstract <T> T doBroadcastObject(OperationTag tag, @Nullable T value, int root, Class<T> type);

    protected abstract <T> List<T> doAllGatherObject(OperationTag tag, T value, Class<T> type);

    protected abstract void doSendObject(Object value, int peer);

    protected abstract <T> T doReceiveObject(int peer, Class<T> type);

    /** Throws if this communicator failed before. */
    protected abstract void requireAlive(Object operation);

    /** Whether {@code buffer} is of this backend's device; false is an IllegalArgumentException for the caller. */
    protected abstract boolean isMine(Buffer buffer);

    /** Called once, by the first {@link #close} that finds no operation under way; the admitted thread is the caller's. */
    protected abstract void doClose();

    /** What {@link #abort} does besides letting the queue end. */
    protected abstract void doAbort(Throwable cause);

    /** Called after each operation, when the next thread may be admitted. */
    protected void onLeave() {}

    @Override
    public final void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        Arguments.requireMine(this, isMine(send) && isMine(receive), send, receive);
        Arguments.requireSameShape(send, receive);
        Arguments.requireReducible(send, op);
        long start = enter(Operation.ALL_REDUCE, send.bytes());
        try {
            doAllReduce(tag(Operation.ALL_REDUCE, op, send.type(), send.length(), -1), send, receive, op);
            account(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        Arguments.requireMine(this, isMine(send) && isMine(receive), send, receive);
        Arguments.requireRank(this, "root", root);
        Arguments.requireSameShape(send, receive);
        Arguments.requireReducible(send, op);
        long start = enter(Operation.REDUCE, send.bytes());
        try {
            doReduce(tag(Operation.REDUCE, op, send.type(), send.length(), root), send, receive, op, root);
            account(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void broadcast(Buffer send, Buffer receive, int root) {
        Arguments.requireMine(this, isMine(send) && isMine(receive), send, receive);
        Arguments.requireRank(this, "root", root);
        Arguments.requireSameShape(send, receive);
        long start = enter(Operation.BROADCAST, send.bytes());
        try {
            doBroadcast(tag(Operation.BROADCAST, null, send.type(), send.length(), root), send, receive, root);
            account(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void allGather(Buffer send, Buffer receive) {
        allGather(Operation.ALL_GATHER, send, receive, Blocks.even(size(), send.length()), send.length());
    }

    @Override
    public final void allGatherV(Buffer send, Buffer receive, long... counts) {
        Blocks blocks = Arguments.blocks(this, "counts", counts);
        allGather(Operation.ALL_GATHER_V, send, receive, blocks, blocks.total());
    }

    private void allGather(Operation operation, Buffer send, Buffer receive, Blocks blocks, long count) {
        Arguments.requireMine(this, isMine(send) && isMine(receive), send, receive);
        Arguments.requireBlocks(this, "receive", receive, "send", send, blocks);
        long start = enter(operation, receive.bytes());
        try {
            doAllGather(tag(operation, null, send.type(), count, -1), send, receive, blocks);
            account(receive.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        Blocks blocks = Blocks.even(size(), receive.length());
        reduceScatter(Operation.REDUCE_SCATTER, send, receive, op, blocks, receive.length());
    }

    @Override
    public final void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        Blocks blocks = Arguments.blocks(this, "counts", counts);
        reduceScatter(Operation.REDUCE_SCATTER_V, send, receive, op, blocks, blocks.total());
    }

    private void reduceScatter(
            Operation operation, Buffer send, Buffer receive, ReduceOp op, Blocks blocks, long count) {
        Arguments.requireMine(this, isMine(send) && isMine(receive), send, receive);
        Arguments.requireBlocks(this, "send", send, "receive", receive, blocks);
        Arguments.requireReducible(send, op);
        long start = enter(operation, send.bytes());
        try {
            doReduceScatter(tag(operation, op, send.type(), count, -1), send, receive, op, blocks);
            account(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void gather(Buffer send, @Nullable Buffer receive, int root) {
        Arguments.requireRank(this, "root", root);
        Buffer all = root == rankInGroup() ? receive : null;
        Arguments.requireMine(this, isMine(send) && (all == null || isMine(all)), send, all == null ? send : all);
        Arguments.requireRootBlocks(this, "receive", all, "send", send, root);
        long start = enter(Operation.GATHER, send.bytes());
        try {
            doGather(tag(Operation.GATHER, null, send.type(), send.length(), root), send, all, root);
            account(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void scatter(@Nullable Buffer send, Buffer receive, int root) {
        Arguments.requireRank(this, "root", root);
        Buffer all = root == rankInGroup() ? send : null;
        Arguments.requireMine(
                this, isMine(receive) && (all == null || isMine(all)), receive, all == null ? receive : all);
        Arguments.requireRootBlocks(this, "send", all, "receive", receive, root);
        long start = enter(Operation.SCATTER, receive.bytes());
        try {
            doScatter(tag(Operation.SCATTER, null, receive.type(), receive.length(), root), all, receive, root);
            account(receive.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void allToAll(Buffer send, Buffer receive) {
        Arguments.requireSameShape(send, receive);
        if (send.length() % size() != 0) {
            throw new IllegalArgumentException("the length of send (" + send.length()
                    + ") is not a multiple of the size (" + size() + ") of " + group());
        }
        Blocks blocks = Blocks.even(size(), send.length() / size());
        allToAll(Operation.ALL_TO_ALL, send, blocks, receive, blocks);
    }

    @Override
    public final void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        Blocks sendBlocks = Arguments.blocks(this, "sendCounts", sendCounts);
        Blocks receiveBlocks = Arguments.blocks(this, "receiveCounts", receiveCounts);
        Arguments.requireTotals(send, sendBlocks, receive, receiveBlocks, rankInGroup());
        allToAll(Operation.ALL_TO_ALL_V, send, sendBlocks, receive, receiveBlocks);
    }

    private void allToAll(Operation operation, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        Arguments.requireMine(this, isMine(send) && isMine(receive), send, receive);
        Arguments.requireApart(send, receive);
        long start = enter(operation, send.bytes());
        try {
            // Of unequal blocks each pair of ranks compares its own count, with the data.
            long count = operation == Operation.ALL_TO_ALL ? send.length() : 0;
            doAllToAll(tag(operation, null, send.type(), count, -1), send, sendBlocks, receive, receiveBlocks);
            account(send.bytes(), start);
        } finally {
            leave();
        }
    }

    @Override
    public final void send(Buffer buffer, int peer) {
        transfers(List.of(new Transfer(true, buffer, peer)));
    }

    @Override
    public final void receive(Buffer buffer, int peer) {
        transfers(List.of(new Transfer(false, buffer, peer)));
    }

    private void transfers(List<Transfer> transfers) {
        long total = 0;
        for (Transfer transfer : transfers) {
            Arguments.requireMine(this, isMine(transfer.buffer()), transfer.buffer(), transfer.buffer());
            Arguments.requirePeer(this, transfer.peer());
            total += transfer.buffer().bytes();
        }
        long start = enter(transfers.get(0).sends() ? "send" : "receive", total);
        try {
            doTransfers(transfers);
            account(total, start);
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
        barrier(Optional.of(deadline));
    }

    private void barrier(Optional<Duration> deadline) {
        long start = enter(Operation.BARRIER, 0);
        try {
            doBarrier(tag(Operation.BARRIER, null, null, 0, -1), deadline);
            account(0, start);
        } finally {
            leave();
        }
    }

    @Override
    public final <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        Arguments.requireRank(this, "root", root);
        if (root == rankInGroup() && value == null) {
            throw new IllegalArgumentException("the root of a broadcast gives the object, not null");
        }
        long start = enter(Operation.BROADCAST_OBJECT, SMALL_BYTES);
        try {
            T result = doBroadcastObject(tag(Operation.BROADCAST_OBJECT, null, null, 0, root), value, root, type);
            account(0, start);
            return result;
        } finally {
            leave();
        }
    }

    @Override
    public final <T> List<T> allGatherObject(T value, Class<T> type) {
        long start = enter(Operation.ALL_GATHER_OBJECT, SMALL_BYTES);
        try {
            List<T> result = doAllGatherObject(tag(Operation.ALL_GATHER_OBJECT, null, null, 0, -1), value, type);
            account(0, start);
            return result;
        } finally {
            leave();
        }
    }

    @Override
    public final void sendObject(Object value, int peer) {
        Arguments.requirePeer(this, peer);
        long start = enter(Operation.SEND_OBJECT, SMALL_BYTES);
        try {
            doSendObject(value, peer);
            account(0, start);
        } finally {
            leave();
        }
    }

    @Override
    public final <T> T receiveObject(int peer, Class<T> type) {
        Arguments.requirePeer(this, peer);
        long start = enter("receive_object", SMALL_BYTES);
        try {
            T result = doReceiveObject(peer, type);
            account(0, start);
            return result;
        } finally {
            leave();
        }
    }

    @Override
    public final Work async(Consumer<? super Communicator> operations) {
        requireUsable("async");
        WorkQueue mine = queue.get();
        if (mine == null) {
            WorkQueue made = new WorkQueue("lockstep-" + group() + "-" + rankInGroup());
            mine = queue.compareAndSet(null, made) ? made : queue.get();
        }
        if (mine == null) {
            throw new IllegalStateException("a queue of work vanished");
        }
        return mine.submit(() -> operations.accept(this));
    }

    @Override
    public final void grouped(Consumer<? super Communicator> operations) {
        Recording recording = new Recording(this);
        operations.accept(recording);
        if (!recording.transfers.isEmpty()) {
            transfers(List.copyOf(recording.transfers));
        }
        recording.others.forEach(Runnable::run);
    }

    @Override
    public final Traffic traffic() {
        return new Traffic(operations.get(), bytes.get(), nanos.get());
    }

    @Override
    public final void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
        WorkQueue pending = queue.get();
        if (pending != null) {
            drain(pending);
            pending.close();
        }
        if (tryEnter()) {
            try {
                doClose();
            } finally {
                leave();
            }
        } else {
            // Closing under an operation of another thread: orderly is no longer possible.
            abort(new IllegalStateException(
                    "closed by " + Thread.currentThread().getName() + " during an operation"));
        }
    }

    @Override
    public final void abort(Throwable cause) {
        doAbort(cause);
        WorkQueue pending = queue.get();
        if (pending != null) {
            pending.close();
        }
    }

    /** Whether {@link #close} was called. */
    protected final boolean isClosed() {
        return closed.get();
    }

    /** Whether the calling thread is the admitted one. */
    protected final boolean isInside() {
        return user.get() == Thread.currentThread();
    }

    /** Admits the calling thread unless one is inside. */
    protected final boolean tryEnter() {
        return user.compareAndSet(null, Thread.currentThread());
    }

    /** Lets the calling thread, which was admitted, out. */
    protected final void leave() {
        user.set(null);
        onLeave();
    }

    private OperationTag tag(
            Operation operation, @Nullable ReduceOp op, @Nullable DataType type, long count, int root) {
        return new OperationTag(++sequence, operation, op == null ? null : op.kind(), type, count, root);
    }

    /** Admits the calling thread, after what is queued; when the operation began, or 0 if it is not timed. */
    private long enter(Object operation, long size) {
        WorkQueue pending = queue.get();
        if (pending != null) {
            drain(pending);
        }
        if (!tryEnter()) {
            Thread inside = user.get();
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.CONCURRENT_USE,
                            operation + " in " + group() + " by thread '"
                                    + Thread.currentThread().getName() + "' during an operation of thread '"
                                    + (inside == null ? "that just left" : inside.getName()) + "'")
                    .attempt("use a rank's communicators from its own thread only"));
        }
        try {
            requireUsable(operation);
        } catch (LockstepException refused) {
            leave();
            throw refused;
        }
        return size < SMALL_BYTES && operations.getPlain() % SAMPLE != 0 ? 0 : System.nanoTime();
    }

    private void requireUsable(Object operation) {
        requireAlive(operation);
        if (closed.get() && !isQueued()) {
            throw new CommunicatorException(LockstepException.report(
                    ErrorCode.COMMUNICATOR_CLOSED, operation + " in " + group() + " after close"));
        }
    }

    /** Whether the calling thread is the queue's, which may go on while a close waits for it. */
    private boolean isQueued() {
        WorkQueue pending = queue.get();
        return pending != null && pending.isWorker();
    }

    private void drain(WorkQueue pending) {
        try {
            pending.drain();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            abort(interrupted);
            requireAlive("waiting for queued work");
        }
    }

    private void account(long size, long start) {
        operations.lazySet(operations.getPlain() + 1);
        bytes.lazySet(bytes.getPlain() + size);
        if (start != 0) {
            long spent = System.nanoTime() - start;
            nanos.lazySet(nanos.getPlain() + (size < SMALL_BYTES ? spent * SAMPLE : spent));
        }
    }
}
