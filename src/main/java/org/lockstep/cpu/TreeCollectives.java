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
import org.lockstep.transport.Pairs;

/**
 * The algorithms of groups of more than {@value #DIRECT_RANKS} ranks that are not {@link LayeredCollectives}'. They need no others
 * than those whose distance around the group is a power of two; but scatter and all-to-all are those of {@link Collectives}. For large data
 * {@link SharesCollectives} and {@link HalvingCollectives} have better ones where they can.
 *
 * <p>Every operation begins with the steps of a barrier that carry its tag: trees and rings of two operations wait for
 * different peers, and would wait for each other, where these compare all ranks' tags along the same paths. No rank ends its
 * part before all have begun theirs, so each is told of a mismatch in that operation.
 *
 * <p>For n ranks, S bytes and log = ⌈log2 n⌉, steps after those and bytes that the busiest rank sends:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce</td><td>2 · log steps</td><td>log · S</td><td>binomial tree to rank 0, and back</td></tr>
 * <tr><td>reduce</td><td>log + 1 steps where rank 0 is connected to the root, else up to 2 · log</td><td>S, or 2 · S on the way to the root</td><td>binomial tree to rank 0, and on to the root</td></tr>
 * <tr><td>reduce-scatter</td><td>2 · log steps</td><td>log · S</td><td>as all-reduce</td></tr>
 * <tr><td>broadcast</td><td>log steps</td><td>log · S</td><td>binomial tree from the root</td></tr>
 * <tr><td>all-gather</td><td>n-1 steps</td><td>S · (n-1)/n</td><td>ring</td></tr>
 * <tr><td>gather</td><td>log steps</td><td>up to S/2</td><td>binomial tree to the root</td></tr>
 * <tr><td>scatter, all-to-all</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>barrier</td><td>none</td><td>0</td><td>dissemination (Hensgen, Finkel, Manber 1988), log steps</td></tr>
 * </table>
 *
 * <p>The binomial tree to rank 0 joins neighbouring runs of ranks whose lengths are powers of two: it is the balanced tree
 * of the contract. 16-bit elements travel up as f32, and in a reduce on to the root. A reduction takes room for two buffers as
 * long as the caller's on each rank that others send to, reduce-scatter for one more; gather takes it for the blocks of those
 * below a rank.
 */
class TreeCollectives extends Collectives {
    private final HostBuffer[] two = new HostBuffer[2];
    private final int[] at = new int[2];

    TreeCollectives(Mesh mesh, int rankInGroup, int size) {
        super(mesh, rankInGroup, size);
    }

    @Override
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        agree(tag);
        HostBuffer sum = sum(tag, send, op);
        if (me == 0) {
            copy(sum.to(receive.type()), receive);
        }
        spread(tag, receive, 0);
    }

    /** The binomial tree to rank 0, which gets the result, in the type in which parts travel; the others get parts of it. */
    private HostBuffer sum(OperationTag tag, HostBuffer send, ReduceOp op) {
        HostBuffer sum = wide(send, op);
        int length = sum.size();
        for (int distance = 1; distance < size; distance *= 2) {
            if ((me & distance) != 0) {
                send(tag, sum, me - distance);
                break;
            }
            if (me + distance < size) {
                HostBuffer theirs = HostBuffer.allocate(sum.type(), length);
                receive(tag, theirs, me + distance);
                two[0] = sum;
                two[1] = theirs;
                boolean last = me == 0 && 2 * distance >= size;
                reduction.reduce(two, at, theirs, 0, length, op.kind(), last ? divisor(op) : 1);
                sum = theirs;
            }
        }
        if (me == 0) {
            reduction.finish(sum);
        }
        return sum;
    }

    @Override
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        agree(tag);
        HostBuffer sum = sum(tag, send, op);
        int from = 0;
        while (from != root) {
            int to = Pairs.isConnected(size, from, root) ? root : from + Integer.highestOneBit(root - from);
            if (me == from) {
                send(tag, sum, to);
            } else if (me == to) {
                sum = HostBuffer.allocate(sum.type(), sum.length());
                receive(tag, sum, from);
            }
            from = to;
        }
        if (me == root) {
            copy(sum.to(receive.type()), receive);
        }
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
        agree(tag);
        int mine = Math.floorMod(me - root, size);
        int below = mine == 0 ? size : Math.min(Integer.lowestOneBit(mine), size - mine); // itself included
        HostBuffer room =
                receive != null ? receive : below == 1 ? send : HostBuffer.allocate(send.type(), below * send.length());
        int first = receive != null ? 0 : me;
        copy(send, run(room, send.length(), Math.floorMod(me - first, size), 1));
        for (int distance = 1; distance < below; distance *= 2) {
            int child = (me + distance) % size;
            int count = Math.min(distance, below - distance);
            mesh.transfer(List.of(), letters(tag, room, send.length(), first, child, count, child));
        }
        if (mine != 0) {
            int parent = Math.floorMod(me - Integer.lowestOneBit(mine), size);
            mesh.transfer(letters(tag, room, send.length(), first, me, below, parent), List.of());
        }
    }

    /**
     * The blocks of {@code count} ranks from {@code from} on, around the group: those from rank 0 on in a letter of their own, for
     * the root has them elsewhere.
     *
     * @param first the rank whose block is the first in {@code room}
     */
    private List<Letter> letters(
            OperationTag tag, HostBuffer room, long each, int first, int from, int count, int peer) {
        int head = Math.min(count, size - from);
        Letter one = new Letter(tag, run(room, each, Math.floorMod(from - first, size), head), peer);
        if (head == count) {
            return List.of(one);
        }
        return List.of(one, new Letter(tag, run(room, each, Math.floorMod(-first, size), count - head), peer));
    }

    private static HostBuffer run(HostBuffer room, long each, int from, int count) {
        return room.slice(from * each, count * each);
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
    final void agree(OperationTag tag) {
        HostBuffer nothing = HostBuffer.allocate(DataType.U8, 0);
        for (int distance = 1; distance < size; distance *= 2) {
            int to = (me + distance) % size;
            int from = Math.floorMod(me - distance, size);
            mesh.transfer(List.of(new Letter(tag, nothing, to)), List.of(new Letter(tag, nothing, from)));
        }
    }

    final void send(OperationTag tag, HostBuffer data, int peer) {
        mesh.transfer(List.of(new Letter(tag, data, peer)), List.of());
    }

    private void receive(OperationTag tag, HostBuffer data, int peer) {
        mesh.transfer(List.of(), List.of(new Letter(tag, data, peer)));
    }
}
