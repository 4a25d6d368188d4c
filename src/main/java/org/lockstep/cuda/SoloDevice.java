package org.lockstep.cuda;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/** What a group of one does with memory of a device: copies in the order of the stream, and in place nothing. */
final class SoloDevice implements Carrier {
    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof DeviceBuffer;
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        if (op.kind() == ReduceOp.Kind.PREMULTIPLIED_SUM) {
            HostBuffer scaled = send.toHost();
            scaled.scale(op.factor());
            ((DeviceBuffer) receive).copyFrom(scaled);
        } else {
            copy(send, receive);
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
        ((DeviceBuffer) receive).copyFrom((DeviceBuffer) send);
    }
}
