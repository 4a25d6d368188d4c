package org.lockstep.cpu;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * The algorithms of groups of more than {@value #DIRECT_RANKS} ranks: but for scatter and all-to-all, which are those of
 * {@link Collectives}, each rank talks to those whose distance around the group is a power of two, and to no others.
 *
 * <p>Every operation begins with the steps of a barrier that carry its tag: trees and rings of two operations wait for
 * different peers, and would wait for each other, where these compare all ranks' tags along the same paths. No rank ends its
 * part before all have begun theirs, so each is told of a mismatch in that operation.
 *
 * <p>For n ranks, S bytes and log = ⌈log2 n⌉, steps after those and bytes that the busiest rank sends:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, reduce</td><td>2 · log steps</td><td>log · S</td><td>binomial tree to rank 0, and back</td></tr>
 * <tr><td>reduce-scatter</td><td>2 · log steps</td><td>log · S</td><td>as all-reduce</td></tr>
 * <tr><td>broadcast</td><td>log steps</td><td>log · S</td><td>binomial tree from the root</td></tr>
 * <tr><td>all-gather, gather</td><td>n-1 steps</td><td>S · (n-1)/n</td><td>ring</td></tr>
 * <tr><td>scatter, all-to-all</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>barrier</td><td>none</td><td>0</td><td>dissemination (Hensgen, Finkel, Manber 1988), log steps</td></tr>
 * </table>
 *
 * <p>The binomial tree to rank 0 joins neighbouring runs of ranks whose lengths are powers of two: it is the balanced tree
 * of the contract. All-reduce takes room for two buffers as long as the caller's, gather one for all ranks' on each.
 */
final class TreeCollectives extends Collectives {
    private final HostBuffer[] two = new HostBuffer[2];
    private final HostBuffer[] one = new HostBuffer[1];
    private final int[] at = new int[2];

    TreeCollectives(Mesh mesh, int rankInGroup, int size) {
        super(mesh, rankInGroup, size);
    }

    @Override
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        agree(tag);
        HostBuffer mine = wide(send, op);
        HostBuffer sum = HostBuffer.allocate(mine.type(), mine.length());
        sum.copyFrom(mine);
        HostBuffer theirs = HostBuffer.allocate(mine.type(), mine.length());
        int length = sum.size();
        for (int distance = 1; distance < size; distance *= 2) {
            if ((me & distance) != 0) {
                send(tag, sum, me - distance);
                break;
            }
            if (me + distance < size) {
                receive(tag, theirs, me + distance);
                two[0] = sum;
                two[1] = theirs;
                reduction.reduce(two, at, sum, 0, length, op.kind(), 1);
            }
        }
        if (me == 0) {
            one[0] = sum;
            reduction.reduce(one, at, sum, 0, length, op.kind(), divisor(op));
            reduction.finish(sum);
            copy(sum.to(receive.type()), receive);
        }
        spread(tag, receive, 0);
    }

    @Override
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        HostBuffer result = me == root ? receive : HostBuffer.allocate(receive.type(), receive.length());
        allReduce(tag, send, result, op);
    }

    @Override
    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
        HostBuffer whole = HostBuffer.allocate(send.type(), send.length());
        allReduce(tag, send, whole, op);
        copy(block(blocks, whole, me), receive);
    }

    @Override
    void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        agree(tag);
        if (me == root) {
            copy(send, receive);
        }
        spread(tag, receive, root);
    }

    /** The binomial tree from {@code root}. */
    private void spread(OperationTag tag, HostBuffer data, int root) {
        int mine = Math.floorMod(me - root, size);
        int distance = 1;
        while (distance < size && (mine & distance) == 0) {
            distance *= 2;
        }
        if (mine != 0) {
            receive(tag, data, Math.floorMod(me - distance, size));
        }
        for (int next = distance / 2; next > 0; next /= 2) {
            if (mine + next < size) {
                send(tag, data, (me + next) % size);
            }
        }
    }

    @Override
    void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        agree(tag);
        copy(send, block(blocks, receive, me));
        int next = (me + 1) % size;
        int previous = (me + size - 1) % size;
        for (int step = 0; step < size - 1; step++) {
            HostBuffer out = block(blocks, receive, Math.floorMod(me - step, size));
            HostBuffer in = block(blocks, receive, Math.floorMod(me - step - 1, size));
            mesh.transfer(List.of(new Letter(tag, out, next)), List.of(new Letter(tag, in, previous)));
        }
    }

    @Override
    void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        HostBuffer all = receive == null ? HostBuffer.allocate(send.type(), send.length() * size) : receive;
        allGather(tag, send, all, Blocks.even(size, send.length()));
    }

    @Override
    void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        agree(tag);
        super.scatter(tag, send, receive, root);
    }

    @Override
    void allToAll(OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        agree(tag);
        super.allToAll(tag, send, sendBlocks, receive, receiveBlocks);
    }

    @Override
    void barrier(OperationTag tag) {
        agree(tag);
    }

    /** Returns when all ranks are in the operation of this tag. */
    private void agree(OperationTag tag) {
        HostBuffer nothing = HostBuffer.allocate(DataType.U8, 0);
        for (int distance = 1; distance < size; distance *= 2) {
            int to = (me + distance) % size;
            int from = Math.floorMod(me - distance, size);
            mesh.transfer(List.of(new Letter(tag, nothing, to)), List.of(new Letter(tag, nothing, from)));
        }
    }

    private void send(OperationTag tag, HostBuffer data, int peer) {
        mesh.transfer(List.of(new Letter(tag, data, peer)), List.of());
    }

    private void receive(OperationTag tag, HostBuffer data, int peer) {
        mesh.transfer(List.of(), List.of(new Letter(tag, data, peer)));
    }
}
