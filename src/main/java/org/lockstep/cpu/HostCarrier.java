package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/** What carries host memory: {@link Collectives} over a mesh whose operation was begun. Confined as they. */
final class HostCarrier implements Carrier {
    private final Mesh mesh;
    private final Collectives collectives;
    private final Map<ReduceOp.Kind, Joining> joinings = new EnumMap<>(ReduceOp.Kind.class);

    HostCarrier(Mesh mesh, Collectives collectives) {
        this.mesh = mesh;
        this.collectives = collectives;
        for (ReduceOp.Kind kind : ReduceOp.Kind.values()) {
            joinings.put(kind, Joining.of(kind, collectives.size()));
        }
    }

    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof HostBuffer;
    }

    private Joining joining(ReduceOp op) {
        return Objects.requireNonNull(joinings.get(op.kind()));
    }

    /** This rank's part of a reduction. */
    private static HostBuffer scaled(Buffer send, ReduceOp op) {
        HostBuffer mine = (HostBuffer) send;
        if (op.kind() != ReduceOp.Kind.PREMULTIPLIED_SUM) {
            return mine;
        }
        HostBuffer scaled = HostBuffer.allocate(mine.type(), mine.length());
        scaled.copyFrom(mine);
        scaled.scale(op.factor());
        return scaled;
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        collectives.allReduce(tag, scaled(send, op), (HostBuffer) receive, joining(op));
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        collectives.reduce(tag, scaled(send, op), (HostBuffer) receive, joining(op), root);
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        collectives.broadcast(tag, (HostBuffer) send, (HostBuffer) receive, root);
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        collectives.allGather(tag, (HostBuffer) send, (HostBuffer) receive, blocks);
    }

    @Override
    public void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        collectives.reduceScatter(tag, scaled(send, op), (HostBuffer) receive, joining(op), blocks);
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        collectives.gather(tag, (HostBuffer) send, (HostBuffer) receive, root);
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        collectives.scatter(tag, (HostBuffer) send, (HostBuffer) receive, root);
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        collectives.allToAll(tag, (HostBuffer) send, sendBlocks, (HostBuffer) receive, receiveBlocks);
    }

    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        if (transfers.size() == 1) {
            List<Letter> only = List.of(letter(tags.get(0), transfers.get(0)));
            boolean sends = transfers.get(0).sends();
            mesh.transfer(sends ? only : List.of(), sends ? List.of() : only);
            return;
        }
        List<Letter> sends = new ArrayList<>();
        List<Letter> receives = new ArrayList<>();
        for (int i = 0; i < transfers.size(); i++) {
            Transfer transfer = transfers.get(i);
            (transfer.sends() ? sends : receives).add(letter(tags.get(i), transfer));
        }
        mesh.transfer(sends, receives);
    }

    private static Letter letter(OperationTag tag, Transfer transfer) {
        return new Letter(tag, (HostBuffer) transfer.buffer(), transfer.peer());
    }
}
