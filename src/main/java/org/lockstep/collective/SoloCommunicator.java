package org.lockstep.collective;

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
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /**
     * The communicator of a group of one.
     *
     * @throws IllegalArgumentException if the group has more than one rank
     */
    public SoloCommunicator(ProcessGroup group, ObjectCodec codec) {
        if (group.size() != 1) {
            throw new IllegalArgumentException("a solo communicator is for one rank, not " + group);
        }
        this.group = group;
        this.codec = codec;
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
    protected void doAllReduce(OperationTag tag, Buffer buffer, ReduceOp op) {}

    @Override
    protected void doAllGather(OperationTag tag, Buffer send, Buffer receive) {
        receive.toHost().copyFrom(send.toHost());
    }

    @Override
    protected void doReduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        receive.toHost().copyFrom(send.toHost());
    }

    @Override
    protected void doBroadcast(OperationTag tag, Buffer buffer, int root) {}

    @Override
    protected void doBarrier(OperationTag tag) {}

    @Override
    protected void doSend(Buffer buffer, int peer) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected void doReceive(Buffer buffer, int peer) {
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
    protected void doSendObject(Object value, int peer) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected <T> T doReceiveObject(int peer, Class<T> type) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected void requireAlive(String operation) {
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
    public void abort(Throwable cause) {
        failure.compareAndSet(null, cause);
    }
}
