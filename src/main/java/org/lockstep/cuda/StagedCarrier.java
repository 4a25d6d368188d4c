package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/**
 * Carries a device's buffers through host memory: what is sent is copied down, what was received up. Copies wait for the
 * device.
 */
final class StagedCarrier implements Carrier {
    private final Carrier host;
    private final int me;

    /** @param me rank in group */
    StagedCarrier(Carrier host, int me) {
        this.host = host;
        this.me = me;
    }

    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof DeviceBuffer;
    }

    private interface Exchange {
        void between(HostBuffer send, HostBuffer receive);
    }

    /** What is sent from host memory and received there, then lands. */
    private static void through(Buffer send, Buffer receive, Exchange exchange) {
        HostBuffer out = send.toHost();
        HostBuffer in = receive == send ? out : room(receive);
        exchange.between(out, in);
        receive.copyFrom(in);
    }

    private static HostBuffer room(Buffer buffer) {
        return HostBuffer.allocate(buffer.type(), buffer.length());
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        through(send, receive, (out, in) -> host.allReduce(tag, out, in, op));
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        HostBuffer out = send.toHost();
        HostBuffer in = room(receive);
        host.reduce(tag, out, in, op, root);
        if (root == me) {
            receive.copyFrom(in);
        }
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        if (root == me) {
            through(send, receive, (out, in) -> host.broadcast(tag, out, in, root));
        } else {
            HostBuffer in = room(receive);
            host.broadcast(tag, in, in, root);
            receive.copyFrom(in);
        }
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        through(send, receive, (out, in) -> host.allGather(tag, out, in, blocks));
    }

    @Override
    public void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        through(send, receive, (out, in) -> host.reduceScatter(tag, out, in, op, blocks));
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        if (receive == null) {
            host.gather(tag, send.toHost(), null, root);
        } else {
            through(send, receive, (out, in) -> host.gather(tag, out, in, root));
        }
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        HostBuffer in = room(receive);
        host.scatter(tag, send == null ? null : send.toHost(), in, root);
        receive.copyFrom(in);
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        through(send, receive, (out, in) -> host.allToAll(tag, out, sendBlocks, in, receiveBlocks));
    }

    /** What is received lands when all transfers are done: until then nothing has come. */
    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        List<Transfer> staged = new ArrayList<>();
        for (Transfer each : transfers) {
            Buffer data = each.buffer();
            staged.add(new Transfer(each.sends(), each.sends() ? data.toHost() : room(data), each.peer()));
        }
        host.transfer(tags, staged);
        for (int i = 0; i < transfers.size(); i++) {
            if (!transfers.get(i).sends()) {
                transfers.get(i).buffer().copyFrom(staged.get(i).buffer().toHost());
            }
        }
    }
}
