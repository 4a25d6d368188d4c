package org.lockstep.collective;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;

/** What a group of one does, in whatever memory: it copies, and multiplies where the reduction does. */
public abstract class SoloCarrier implements Carrier {
    /** What {@code send} holds, in {@code receive} too; nothing where they are the same. */
    protected abstract void copy(Buffer send, Buffer receive);

    /** Multiplies in place. */
    protected abstract void scale(Buffer buffer, double factor);

    @Override
    public final void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        copy(send, receive);
        if (op.kind() == ReduceOp.Kind.PREMULTIPLIED_SUM) {
            scale(receive, op.factor());
        }
    }

    @Override
    public final void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        allReduce(tag, send, receive, op);
    }

    @Override
    public final void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        copy(send, receive);
    }

    @Override
    public final void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        copy(send, receive);
    }

    @Override
    public final void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        allReduce(tag, send, receive, op);
    }

    @Override
    public final void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        if (receive != null) {
            copy(send, receive);
        }
    }

    @Override
    public final void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        if (send != null) {
            copy(send, receive);
        }
    }

    @Override
    public final void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        copy(send, receive);
    }

    @Override
    public final void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        throw new AssertionError("a group of one has no peer");
    }
}
