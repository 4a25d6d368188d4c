package org.lockstep.collective;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * What every communicator does around carrying: checks arguments, admits one thread, numbers operations, counts traffic.
 * A backend adds how the data move.
 *
 * <p>Threads: as {@link Communicator}. The protected methods run in the thread that was admitted.
 */
public abstract class GuardedCommunicator implements Communicator {
    private final AtomicReference<@Nullable Thread> user = new AtomicReference<>();
    private final AtomicBoolean closed = new AtomicBoolean();
    private volatile Traffic traffic = Traffic.NONE;
    private long sequence; // of the operations of the whole group; only the admitted thread touches it

    /** An operation between its checks and its accounts. */
    @FunctionalInterface
    protected interface Body {
        void run(OperationTag tag);
    }

    protected abstract void doAllReduce(OperationTag tag, Buffer buffer, ReduceOp op);

    protected abstract void doAllGather(OperationTag tag, Buffer send, Buffer receive);

    protected abstract void doReduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op);

    protected abstract void doBroadcast(OperationTag tag, Buffer buffer, int root);

    protected abstract void doBarrier(OperationTag tag);

    protected abstract void doSend(Buffer buffer, int peer);

    protected abstract void doReceive(Buffer buffer, int peer);

    protected abstract <T> T doBroadcastObject(OperationTag tag, @Nullable T value, int root, Class<T> type);

    protected abstract void doSendObject(Object value, int peer);

    protected abstract <T> T doReceiveObject(int peer, Class<T> type);

    /** Throws if this communicator failed before. */
    protected abstract void requireAlive(String operation);

    /** Whether {@code buffer} is of this backend's device; false is an IllegalArgumentException for the caller. */
    protected abstract boolean isMine(Buffer buffer);

    /** Called once, by the first {@link #close} that finds no operation under way; the admitted thread is the caller's. */
    protected abstract void doClose();

    /** Called after each operation, when the next thread may be admitted. */
    protected void onLeave() {}

    @Override
    public final void allReduce(Buffer buffer, ReduceOp op) {
        requireMine(buffer);
        requireReducible(buffer, op);
        perform(Operation.ALL_REDUCE, op, buffer, -1, tag -> doAllReduce(tag, buffer, op));
    }

    @Override
    public final void allGather(Buffer send, Buffer receive) {
        requireMine(send);
        requireMine(receive);
        requireBlocks("receive", receive, "send", send);
        requireOwnBlock(receive, send);
        perform(Operation.ALL_GATHER, null, send, -1, tag -> doAllGather(tag, send, receive));
    }

    @Override
    public final void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        requireMine(send);
        requireMine(receive);
        requireBlocks("send", send, "receive", receive);
        requireOwnBlock(send, receive);
        requireReducible(send, op);
        perform(Operation.REDUCE_SCATTER, op, send, -1, tag -> doReduceScatter(tag, send, receive, op));
    }

    @Override
    public final void broadcast(Buffer buffer, int root) {
        requireMine(buffer);
        requireRank("root", root);
        perform(Operation.BROADCAST, null, buffer, root, tag -> doBroadcast(tag, buffer, root));
    }

    @Override
    public final void send(Buffer buffer, int peer) {
        requireMine(buffer);
        requirePeer(peer);
        transfer("send", buffer.bytes(), () -> doSend(buffer, peer));
    }

    @Override
    public final void receive(Buffer buffer, int peer) {
        requireMine(buffer);
        requirePeer(peer);
        transfer("receive", buffer.bytes(), () -> doReceive(buffer, peer));
    }

    @Override
    public final void barrier() {
        perform(Operation.BARRIER, null, null, -1, this::doBarrier);
    }

    @Override
    public final <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        requireRank("root", root);
        if (root == rankInGroup() && value == null) {
            throw new IllegalArgumentException("the root of a broadcast gives the object, not null");
        }
        AtomicReference<@Nullable T> result = new AtomicReference<>();
        perform(
                Operation.BROADCAST_OBJECT,
                null,
                null,
                root,
                tag -> result.set(doBroadcastObject(tag, value, root, type)));
        return present(result.get());
    }

    @Override
    public final void sendObject(Object value, int peer) {
        requirePeer(peer);
        transfer("send_object", 0, () -> doSendObject(value, peer));
    }

    @Override
    public final <T> T receiveObject(int peer, Class<T> type) {
        requirePeer(peer);
        AtomicReference<@Nullable T> result = new AtomicReference<>();
        transfer("receive_object", 0, () -> result.set(doReceiveObject(peer, type)));
        return present(result.get());
    }

    @Override
    public final Traffic traffic() {
        return traffic;
    }

    @Override
    public final void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
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

    /** Numbers, tags, runs and accounts for one operation of the whole group. */
    protected final void perform(
            Operation operation, @Nullable ReduceOp op, @Nullable Buffer buffer, int root, Body body) {
        enter(operation.toString());
        long start = System.nanoTime();
        try {
            DataType type = buffer == null ? null : buffer.type();
            long count = buffer == null ? 0 : buffer.length();
            body.run(new OperationTag(++sequence, operation, op, type, count, root));
            account(buffer == null ? 0 : buffer.bytes(), start);
        } finally {
            leave();
        }
    }

    private void transfer(String operation, long bytes, Runnable body) {
        enter(operation);
        long start = System.nanoTime();
        try {
            body.run();
            account(bytes, start);
        } finally {
            leave();
        }
    }

    private void enter(String operation) {
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
            requireAlive(operation);
            if (closed.get()) {
                throw new CommunicatorException(LockstepException.report(
                        ErrorCode.COMMUNICATOR_CLOSED, operation + " in " + group() + " after close"));
            }
        } catch (LockstepException refused) {
            leave();
            throw refused;
        }
    }

    private void account(long bytes, long start) {
        traffic = traffic.plus(new Traffic(1, bytes, System.nanoTime() - start));
    }

    private void requireMine(Buffer buffer) {
        if (!isMine(buffer)) {
            throw new IllegalArgumentException("a buffer on " + buffer.device() + " cannot travel in " + group()
                    + ", whose ranks use another device");
        }
    }

    private static void requireReducible(Buffer buffer, ReduceOp op) {
        if (op == ReduceOp.AVG && !buffer.type().isFloating()) {
            throw new IllegalArgumentException("avg is for floating types, not " + buffer.type());
        }
    }

    private void requireBlocks(String wholeName, Buffer whole, String blockName, Buffer block) {
        if (whole.type() != block.type() || whole.length() != block.length() * size()) {
            throw new IllegalArgumentException(wholeName + " must be " + block.type() + "[" + block.length() * size()
                    + "], " + size() + " × " + blockName + ", but is " + whole.type() + "[" + whole.length() + "]");
        }
    }

    /** In host memory, where it can be seen: the two are apart, or the block is this rank's block of the whole. */
    private void requireOwnBlock(Buffer whole, Buffer block) {
        if (whole instanceof HostBuffer all && block instanceof HostBuffer part && all.array() == part.array()) {
            int from = part.offset() - all.offset();
            boolean apart = from >= all.size() || from + part.size() <= 0;
            if (!apart && from != rankInGroup() * part.size()) {
                throw new IllegalArgumentException("the block begins at element " + from
                        + " of the whole; it may only overlap as block " + rankInGroup() + ", from "
                        + rankInGroup() * part.size());
            }
        }
    }

    private void requireRank(String name, int rank) {
        if (rank < 0 || rank >= size()) {
            throw new IllegalArgumentException(
                    name + " (" + rank + ") is a rank in group, 0.." + (size() - 1) + ", of " + group());
        }
    }

    private void requirePeer(int peer) {
        requireRank("peer", peer);
        if (peer == rankInGroup()) {
            throw new IllegalArgumentException("peer (" + peer + ") is this rank itself in " + group());
        }
    }

    private static <T> T present(@Nullable T value) {
        if (value == null) {
            throw new IllegalStateException("an object operation ended without an object");
        }
        return value;
    }
}
