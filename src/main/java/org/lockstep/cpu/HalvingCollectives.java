package org.lockstep.cpu;

import java.util.List;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Pairs;

/**
 * The algorithms of groups of more than {@value Pairs#ALL} ranks, a power of two: larger reductions go by recursive halving and
 * doubling (Rabenseifner 2004).
 *
 * <p>For n ranks, S bytes and log = log2 n, steps after those that carry the tag and bytes that each rank sends:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, S &gt; 64 KiB</td><td>2 · log steps</td><td>2 · S · (n-1)/n</td><td>halving, then doubling</td></tr>
 * <tr><td>reduce, S &gt; 64 KiB</td><td>2 · log steps</td><td>up to 3/2 · S</td><td>halving, then a binomial tree to the root</td></tr>
 * <tr><td>reduce-scatter, S &gt; 64 KiB</td><td>log steps</td><td>S · (n-1)/n</td><td>halving</td></tr>
 * </table>
 *
 * <p>All others are those of {@link TreeCollectives}. The first step of halving is with the neighbour, each further one twice as
 * far: every step joins two runs of ranks that follow each other, which is the balanced tree of the contract. 16-bit elements
 * are halved as f32. An all-reduce takes no room but for these, a reduce for the caller's buffer on all but the root, a
 * reduce-scatter for the caller's buffer.
 */
final class HalvingCollectives extends TreeCollectives {
    /** Of less the tree sends fewer messages, and its bytes do not count. */
    private static final long TREE_BYTES = 64 * 1024;

    private static final int ALL = -1;

    private final Mesh.Circle[] pairs;
    private final int place; // of the share that halving leaves here

    HalvingCollectives(Mesh mesh, int rankInGroup, int size) {
        super(mesh, rankInGroup, size);
        this.pairs = new Mesh.Circle[Integer.numberOfTrailingZeros(size)];
        for (int i = 0; i < pairs.length; i++) {
            int peer = peer(i);
            pairs[i] = mesh.circle(List.of(Math.min(me, peer), Math.max(me, peer)));
        }
        this.place = place(me);
    }

    private int peer(int step) {
        return me ^ (1 << step);
    }

    /** Which share halving leaves on a rank: its first step decides on the half, each further one on half of that. */
    private int place(int rank) {
        return Integer.reverse(rank) >>> (Integer.SIZE - pairs.length);
    }

    @Override
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        if (send.bytes() <= TREE_BYTES) {
            super.allReduce(tag, send, receive, op);
        } else {
            agree(tag);
            reduceTo(ALL, tag, send, receive, op);
        }
    }

    @Override
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        if (send.bytes() <= TREE_BYTES) {
            super.reduce(tag, send, receive, op, root);
        } else {
            agree(tag);
            HostBuffer result = me == root ? receive : HostBuffer.allocate(receive.type(), receive.length());
            reduceTo(root, tag, send, result, op);
        }
    }

    private void reduceTo(int root, OperationTag tag, HostBuffer send, HostBuffer result, ReduceOp op) {
        HostBuffer sum = wide(send, op);
        if (sum.type() == result.type()) {
            copy(sum, result);
            sum = result;
        }
        Blocks shares = Blocks.shares(size, sum.length());
        HostBuffer share = halve(tag, shares, sum, op);
        copy(share.to(result.type()), block(shares, result, place));
        unite(tag, shares, result, root);
        mesh.settle();
    }

    @Override
    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
        if (send.bytes() <= TREE_BYTES) {
            super.reduceScatter(tag, send, receive, op, blocks);
            return;
        }
        agree(tag);
        HostBuffer mine = wide(send, op);
        HostBuffer sum = HostBuffer.allocate(mine.type(), mine.length());
        long[] counts = new long[size];
        for (int rank = 0; rank < size; rank++) {
            counts[place(rank)] = blocks.count(rank);
        }
        Blocks placed = Blocks.of(counts);
        for (int rank = 0; rank < size; rank++) {
            copy(block(blocks, mine, rank), block(placed, sum, place(rank)));
        }
        copy(halve(tag, placed, sum, op).to(receive.type()), receive);
        mesh.settle();
    }

    /** Recursive halving of {@code sum}, this rank's part before; what it leaves here of the result, in its place there. */
    private HostBuffer halve(OperationTag tag, Blocks shares, HostBuffer sum, ReduceOp op) {
        for (int i = 0; i < pairs.length; i++) {
            int count = size >> (i + 1);
            offers[peer(i)] = run(shares, sum, place ^ count, count);
            // The peer looks at the other half, so the result may go where the own one is.
            HostBuffer kept = run(shares, sum, place, count);
            fold(pairs[i], tag, kept, kept, op.kind(), count == 1 ? divisor(op) : 1);
        }
        HostBuffer share = block(shares, sum, place);
        reduction.finish(share);
        return share;
    }

    /** Recursive doubling of the shares: all of {@code result} on every rank, or on the root. */
    private void unite(OperationTag tag, Blocks shares, HostBuffer result, int root) {
        for (int i = pairs.length - 1; i >= 0; i--) {
            int count = size >> (i + 1);
            int peer = peer(i);
            boolean sends = root == ALL || ((me ^ root) >> i & 1) == 1;
            boolean receives = root == ALL || !sends;
            offers[peer] = sends ? run(shares, result, place, count) : null;
            // That the peer shows its half also says that it has read ours of it, which is overwritten now.
            targets[peer] = receives ? run(shares, result, place ^ count, count) : null;
            mesh.exchange(pairs[i], tag, offers, targets);
            if (!receives) {
                return;
            }
        }
    }

    /** Those shares of {@code count}, a power of two, that {@code share} is one of. */
    private static HostBuffer run(Blocks shares, HostBuffer whole, int share, int count) {
        int first = share & -count;
        long from = shares.from(first);
        return whole.slice(from, shares.from(first + count) - from);
    }
}
