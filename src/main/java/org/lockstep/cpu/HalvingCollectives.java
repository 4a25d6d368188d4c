package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * The algorithms of more than two ranks that need few messages of each: larger reductions go by recursive halving and doubling,
 * in binary blocks where the ranks are no power of two (Rabenseifner, Träff 2004).
 *
 * <p>For n ranks, the largest power of two p in n, S bytes and log = ⌊log2 n⌋, steps and bytes that each rank sends at most:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, S &gt; 64 KiB, n = p</td><td>2 · log steps</td><td>2 · S · (n-1)/n</td><td>halving, then doubling</td></tr>
 * <tr><td>all-reduce, S &gt; 64 KiB</td><td>up to 4 · log steps</td><td>up to 4 · S</td><td>the same in each block, from block to block before and after</td></tr>
 * <tr><td>reduce, S &gt; 64 KiB</td><td>as many</td><td>up to 3 · S</td><td>halving, then a binomial tree to the root in its block</td></tr>
 * <tr><td>reduce-scatter, S &gt; 64 KiB</td><td>half as many, one more unless n = p</td><td>up to 2 · S</td><td>halving</td></tr>
 * </table>
 *
 * <p>All others are those of {@link TreeCollectives}. A block is a run of ranks that is a whole subtree of the one order of
 * addition, so the binary digits of n are their widths, from left to right. The first step of halving is with the neighbour, each
 * further one twice as far: every step joins two runs of ranks that follow each other, and those that are on one host first.
 * Then each block joins what the block to its right has, from the last one to the first: that is the balanced tree of the
 * contract. Floating elements of 16 and 8 bits are halved as f32. An all-reduce takes no room but for these and, where n is not p, for one share; a
 * reduce for the caller's buffer on all but the root, a reduce-scatter for the caller's buffer.
 */
final class HalvingCollectives extends TreeCollectives {
    /** Of less the tree sends fewer messages, and its bytes do not count. */
    private static final long TREE_BYTES = 64 * 1024;

    private static final int ALL = -1;

    private final List<Block> blocks; // from left to right
    private final int mine; // of the blocks
    private final DirectCollectives[] pairs; // with a rank of this block, at the distance of each power of two
    private final int place; // of the first share that halving leaves here
    private final int run; // how many shares it leaves here

    /**
     * Ranks that follow each other, as many as a power of two. Of so many equal runs of shares halving leaves each rank one: its
     * first step decides on the half, each further one on half of that.
     */
    private record Block(int first, int width) {
        int place(int rank) {
            return reversed(rank - first);
        }

        int rank(int place) {
            return first + reversed(place);
        }

        private int reversed(int index) {
            return (int) ((Integer.toUnsignedLong(Integer.reverse(index)) * width) >>> Integer.SIZE);
        }
    }

    HalvingCollectives(Mesh mesh) {
        super(mesh);
        List<Block> all = new ArrayList<>();
        int owner = 0;
        for (int from = 0; from < size; from += all.get(all.size() - 1).width) {
            all.add(new Block(from, Integer.highestOneBit(size - from)));
            owner = from <= me ? all.size() - 1 : owner;
        }
        Block own = all.get(owner);
        this.blocks = List.copyOf(all);
        this.mine = owner;
        this.run = all.get(0).width / own.width;
        this.place = own.place(me) * run;
        this.pairs = IntStream.range(0, Integer.numberOfTrailingZeros(own.width))
                .mapToObj(step -> List.of(Math.min(me, peer(step)), Math.max(me, peer(step))))
                .map(pair -> new DirectCollectives(mesh.among(pair)))
                .toArray(DirectCollectives[]::new);
    }

    private int peer(int step) {
        return me ^ (1 << step); // a block begins with a multiple of its width
    }

    /** How many shares there are: as many as ranks in the first block. */
    private int shares() {
        return blocks.get(0).width;
    }

    /** The shares of {@code length} elements that a reduce-scatter leaves where it adds them up. */
    Blocks shares(long length) {
        Blocks all = Blocks.shares(shares(), length);
        return Blocks.of(IntStream.range(0, size)
                .mapToLong(rank -> rank < shares() ? all.count(rank) : 0)
                .toArray());
    }

    @Override
    public void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        if (send.bytes() <= TREE_BYTES) {
            super.allReduce(tag, send, receive, joining);
        } else {
            reduceTo(ALL, tag, send, receive, joining);
        }
    }

    @Override
    public void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        if (send.bytes() <= TREE_BYTES) {
            super.reduce(tag, send, receive, joining, root);
        } else {
            HostBuffer result = me == root ? receive : HostBuffer.allocate(receive.type(), receive.length());
            reduceTo(root, tag, send, result, joining);
        }
    }

    private void reduceTo(int root, OperationTag tag, HostBuffer send, HostBuffer result, Joining joining) {
        HostBuffer sum = wide(send);
        if (sum.type() == result.type()) {
            copy(sum, result);
            sum = result;
        }
        Blocks shares = Blocks.shares(shares(), sum.length());
        halve(tag, shares, sum, joining);
        if (mine == 0) {
            copy(block(shares, sum, place).to(result.type()), block(shares, result, place));
        }
        unite(tag, shares, result, root);
    }

    @Override
    public void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks wanted) {
        if (send.bytes() <= TREE_BYTES) {
            super.reduceScatter(tag, send, receive, joining, wanted);
            return;
        }
        HostBuffer own = wide(send);
        HostBuffer sum = HostBuffer.allocate(own.type(), own.length());
        Block first = blocks.get(0);
        long[] counts = new long[shares()];
        for (int rank = 0; rank < size; rank++) {
            counts[first.place(rank % shares())] += wanted.count(rank);
        }
        Blocks shares = Blocks.of(counts);
        for (int rank = 0; rank < size; rank++) { // who is in no first block has its own with one that is
            HostBuffer share = block(shares, sum, first.place(rank % shares()));
            long from = rank < shares() ? 0 : wanted.count(rank - shares());
            copy(block(wanted, own, rank), share.slice(from, wanted.count(rank)));
        }
        halve(tag, shares, sum, joining);
        int other = (me + shares()) % (2 * shares());
        if (mine == 0) {
            HostBuffer share = block(shares, sum, place).to(receive.type());
            copy(share.slice(0, receive.length()), receive);
            if (other < size) {
                send(tag, share.slice(receive.length(), wanted.count(other)), other);
            }
        } else {
            receive(tag, receive, other);
        }
    }

    /** Recursive halving of {@code sum}, this rank's part before; leaves the result's share on each rank of the first block. */
    private void halve(OperationTag tag, Blocks shares, HostBuffer sum, Joining joining) {
        Joining further = joining.partial();
        for (int i = 0; i < pairs.length; i++) {
            int count = shares() >> (i + 1);
            // The peer looks at the other half, so the result may go where the own one is.
            HostBuffer kept = run(shares, sum, place, count);
            boolean isLast = count == 1 && blocks.size() == 1;
            pairs[i].reduceScatter(
                    tag,
                    run(shares, sum, place, 2 * count),
                    kept,
                    isLast ? joining : further,
                    halves(shares, place, count));
        }
        HostBuffer left = run(shares, sum, place, run);
        if (mine < blocks.size() - 1) {
            HostBuffer right = HostBuffer.allocate(left.type(), left.length());
            mesh.later(1);
            receive(tag, right, counterpart());
            joinTwo(left, right, left, mine == 0 ? joining : further);
        }
        if (mine > 0) {
            mesh.transfer(toTheLeft(tag, shares, sum), List.of());
        }
        if (mine == 0) {
            reduction.finish(left);
        }
    }

    /** The rank of the block to the right that has all that this one has. */
    private int counterpart() {
        Block right = blocks.get(mine + 1);
        return right.rank(place / (shares() / right.width));
    }

    /** Letters with each rank of the block to the left, which has a part of what this one has. */
    private List<Letter> toTheLeft(OperationTag tag, Blocks shares, HostBuffer whole) {
        Block left = blocks.get(mine - 1);
        int each = shares() / left.width;
        return IntStream.range(place / each, (place + run) / each)
                .mapToObj(i -> new Letter(tag, run(shares, whole, i * each, each), left.rank(i)))
                .toList();
    }

    /** Recursive doubling of the shares, from the first block on: all of {@code result} on every rank, or on the root. */
    private void unite(OperationTag tag, Blocks shares, HostBuffer result, int root) {
        int last = blocks.size() - 1;
        while (root != ALL && blocks.get(last).first > root) {
            last--;
        }
        if (mine > last) {
            return;
        }
        if (mine > 0) {
            mesh.later(1);
            mesh.transfer(List.of(), toTheLeft(tag, shares, result));
        }
        if (mine < last) {
            send(tag, run(shares, result, place, run), counterpart());
        }
        for (int i = pairs.length - 1; i >= 0 && (root == ALL || mine == last); i--) {
            int count = shares() >> (i + 1);
            if (root == ALL) {
                pairs[i].allGather(
                        tag,
                        run(shares, result, place, count),
                        run(shares, result, place, 2 * count),
                        halves(shares, place, count));
            } else if (((me ^ root) >> i & 1) == 1) {
                send(tag, run(shares, result, place, count), peer(i));
                return;
            } else {
                receive(tag, run(shares, result, place ^ count, count), peer(i));
            }
        }
    }

    /** Those shares of {@code count}, a power of two, that {@code share} is one of. */
    private static HostBuffer run(Blocks shares, HostBuffer whole, int share, int count) {
        int first = share & -count;
        long from = shares.from(first);
        return whole.slice(from, shares.from(first + count) - from);
    }

    /** The two runs of {@code count} that {@code share} and its neighbours are. */
    private static Blocks halves(Blocks shares, int share, int count) {
        int first = share & (-2 * count);
        long middle = shares.from(first + count);
        return Blocks.of(middle - shares.from(first), shares.from(first + 2 * count) - middle);
    }
}
