package org.lockstep.collective;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/** What a group of one does with host memory: copies. */
final class SoloCarrier implements Carrier {
    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof HostBuffer;
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        copy(send, receive);
        if (op.kind() == ReduceOp.Kind.PREMULTIPLIED_SUM) {
            receive.toHost().scale(op.factor());
        }
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        allReduce(tag, send, receive, op);
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        copy(send, receive);
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        copy(send, receive);
    }

    @Override
    public void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        allReduce(tag, send, receive, op);
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        if (receive != null) {
            copy(send, receive);
        }
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        if (send != null) {
            copy(send, receive);
        }
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        copy(send, receive);
    }

    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        throw new AssertionError("a group of one has no peer");
    }

    private static void copy(Buffer send, Buffer receive) {
        receive.toHost().copyFrom(send.toHost());
    }
}
