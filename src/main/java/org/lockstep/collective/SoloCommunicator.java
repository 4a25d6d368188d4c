package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * A group of one rank, in host memory: no connection, the same checks, the same objects through the same codec, so that
 * what works on one rank does not fail on two.
 */
public final class SoloCommunicator extends GuardedCommunicator {
    private final ProcessGroup group;
    private final ObjectCodec codec;
    private final Duration limit;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /**
     * The communicator of a group of one.
     *
     * @param limit of an operation
     * @throws IllegalArgumentException if the group has more than one rank
     */
    public SoloCommunicator(ProcessGroup group, ObjectCodec codec, Duration limit) {
        if (group.size() != 1) {
            throw new IllegalArgumentException("a solo communicator is for one rank, not " + group);
        }
        this.group = group;
        this.codec = codec;
        this.limit = limit;
    }

    @Override
    protected Duration limit() {
        return limit;
    }

    @Override
    public ProcessGroup group() {
        return group;
    }

    @Override
    public int rankInGroup() {
        return 0;
    }

    @Override
    protected void doAllReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        copy(send, receive);
        if (op.kind() == ReduceOp.Kind.PREMULTIPLIED_SUM) {
            receive.toHost().scale(op.factor());
        }
    }

    @Override
    protected void doReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        doAllReduce(tag, send, receive, op);
    }

    @Override
    protected void doBroadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        copy(send, receive);
    }

    @Override
    protected void doAllGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        copy(send, receive);
    }

    @Override
    protected void doReduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        doAllReduce(tag, send, receive, op);
    }

    @Override
    protected void doGather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        if (receive != null) {
            copy(send, receive);
        }
    }

    @Override
    protected void doScatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        if (send != null) {
            copy(send, receive);
        }
    }

    @Override
    protected void doAllToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        copy(send, receive);
    }

    private static void copy(Buffer send, Buffer receive) {
        receive.toHost().copyFrom(send.toHost());
    }

    @Override
    protected void doBarrier(OperationTag tag, Optional<Duration> deadline) {}

    @Override
    protected void doTransfers(List<Transfer> transfers) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected <T> T doBroadcastObject(OperationTag tag, @Nullable T value, int root, Class<T> type) {
        if (value == null) {
            throw new IllegalArgumentException("the root of a broadcast gives the object, not null");
        }
        return codec.decode(codec.encode(value), type);
    }

    @Override
    protected <T> List<T> doAllGatherObject(OperationTag tag, T value, Class<T> type) {
        return List.of(codec.decode(codec.encode(value), type));
    }

    @Override
    protected void doSendObject(Object value, int peer) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected <T> T doReceiveObject(int peer, Class<T> type) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected void requireAlive(Object operation) {
        Throwable cause = failure.get();
        if (cause != null) {
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.ABORTED,
                            operation + " in " + group + " aborted because of rank " + group.first() + ": " + cause)
                    .cause(cause));
        }
    }

    @Override
    protected boolean isMine(Buffer buffer) {
        return buffer instanceof HostBuffer;
    }

    @Override
    protected void doClose() {}

    @Override
    protected void doAbort(Throwable cause) {
        failure.compareAndSet(null, cause);
    }
}
