package org.lockstep.cpu;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;
import org.lockstep.transport.Pairs;

/**
 * The algorithms of more than {@value #DIRECT_RANKS} ranks. They need no others than those whose distance around the group is a
 * power of two, but for the all-to-all of groups that have them all. For large data {@link SharesCollectives} and
 * {@link HalvingCollectives} have better ones.
 *
 * <p>For n ranks, S bytes and log = ⌈log2 n⌉, steps and bytes that the busiest rank sends:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce</td><td>log steps and a broadcast</td><td>S and a broadcast's</td><td>binomial tree to rank 0, and back</td></tr>
 * <tr><td>reduce</td><td>log + 1 steps where rank 0 is connected to the root, else up to 2 · log</td><td>S, or 2 · S on the way to the root</td><td>binomial tree to rank 0, and on to the root</td></tr>
 * <tr><td>reduce-scatter</td><td>2 · log steps</td><td>up to 3/2 · S</td><td>binomial tree to rank 0, and a scatter</td></tr>
 * <tr><td>broadcast, S ≤ 16 KiB · n</td><td>log steps</td><td>log · S</td><td>binomial tree from the root</td></tr>
 * <tr><td>broadcast</td><td>log + n-1 steps</td><td>2 · S · (n-1)/n at the root, up to 3/2 · S at others</td><td>scatter, then a ring (van de Geijn 1994)</td></tr>
 * <tr><td>all-gather</td><td>n-1 steps</td><td>S · (n-1)/n</td><td>ring</td></tr>
 * <tr><td>gather</td><td>log steps</td><td>up to S/2</td><td>binomial tree to the root</td></tr>
 * <tr><td>scatter</td><td>log steps</td><td>S · (n-1)/n at the root, up to S/2 at others</td><td>binomial tree from the root</td></tr>
 * <tr><td>all-to-all, n ≤ {@value Pairs#ALL}</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>all-to-all</td><td>log steps, twice as many of unequal blocks</td><td>about log · S/2</td><td>{@link BruckAllToAll}</td></tr>
 * <tr><td>barrier</td><td>log steps</td><td>0</td><td>dissemination (Hensgen, Finkel, Manber 1988)</td></tr>
 * </table>
 *
 * <p>The binomial tree to rank 0 joins neighbouring runs of ranks whose lengths are powers of two: it is the balanced tree
 * of the contract. Floating elements of 16 and 8 bits travel up as f32, and in a reduce on to the root. A reduction takes room for two buffers as
 * long as the caller's on each rank that others send to, reduce-scatter for one more; gather and scatter take it for the blocks
 * of those below a rank.
 */
class TreeCollectives extends DirectCollectives {
    /** So many bytes take about as long as a step of the ring between hosts, some 15 µs at 1 GB/s; for fewer: the tree. */
    private static final int RING_BYTES = 16 * 1024;

    private final HostBuffer[] two = new HostBuffer[2];
    private final int[] at = new int[2];

    TreeCollectives(Mesh mesh) {
        super(mesh);
    }

    @Override
    public void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        HostBuffer sum = sum(tag, send, joining);
        if (me == 0) {
            copy(sum.to(receive.type()), receive);
        }
        spread(tag, receive, 0);
    }

    /** The binomial tree to rank 0, which gets the result, in the type in which parts travel; the others get parts of it. */
    private HostBuffer sum(OperationTag tag, HostBuffer send, Joining joining) {
        HostBuffer sum = wide(send);
        int length = sum.size();
        for (int distance = 1; distance < size; distance *= 2) {
            if ((me & distance) != 0) {
                send(tag, sum, me - distance);
                break;
            }
            if (me + distance < size) {
                HostBuffer theirs = HostBuffer.allocate(sum.type(), length);
                receive(tag, theirs, me + distance);
                boolean last = me == 0 && 2 * distance >= size;
                joinTwo(sum, theirs, theirs, last ? joining : joining.partial());
                sum = theirs;
            }
        }
        if (me == 0) {
            reduction.finish(sum);
        }
        return sum;
    }

    /** What two runs of ranks add up to that follow each other, into either or elsewhere. */
    final void joinTwo(HostBuffer left, HostBuffer right, HostBuffer target, Joining joining) {
        two[0] = left;
        two[1] = right;
        reduction.reduce(two, at, target, 0, target.size(), joining);
    }

    @Override
    public void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        HostBuffer sum = sum(tag, send, joining);
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
    public void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        HostBuffer sum = sum(tag, send, joining);
        HostBuffer whole = me == 0 ? sum.to(send.type()) : HostBuffer.allocate(send.type(), send.length());
        deal(tag, new Room(whole, blocks, 0), 0);
        copy(block(blocks, whole, me), receive);
    }

    @Override
    public void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        if (me == root) {
            copy(send, receive);
        }
        spread(tag, receive, root);
    }

    /** What {@code data} holds on {@code root} comes to all. */
    private void spread(OperationTag tag, HostBuffer data, int root) {
        if (data.bytes() > (long) size * RING_BYTES) {
            Blocks shares = Blocks.shares(size, data.length());
            deal(tag, new Room(data, shares, 0), root);
            ring(tag, data, shares);
        } else {
            pass(tag, data, root);
        }
    }

    /** The binomial tree from {@code root}. */
    private void pass(OperationTag tag, HostBuffer data, int root) {
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
    public void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        copy(send, block(blocks, receive, me));
        ring(tag, receive, blocks);
    }

    /** Each rank's block of {@code whole} comes to all. */
    private void ring(OperationTag tag, HostBuffer whole, Blocks blocks) {
        int next = (me + 1) % size;
        int previous = (me + size - 1) % size;
        for (int step = 0; step < size - 1; step++) {
            HostBuffer out = block(blocks, whole, Math.floorMod(me - step, size));
            HostBuffer in = block(blocks, whole, Math.floorMod(me - step - 1, size));
            mesh.transfer(List.of(new Letter(tag, out, next)), List.of(new Letter(tag, in, previous)));
        }
    }

    @Override
    public void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        int mine = Math.floorMod(me - root, size);
        int below = below(mine);
        Room room = room(receive, send, below);
        copy(send, room.own(me));
        for (int distance = 1; distance < below; distance *= 2) {
            int child = (me + distance) % size;
            int count = Math.min(distance, below - distance);
            mesh.transfer(List.of(), room.letters(tag, child, count, child));
        }
        if (mine != 0) {
            int parent = Math.floorMod(me - Integer.lowestOneBit(mine), size);
            mesh.transfer(room.letters(tag, me, below, parent), List.of());
        }
    }

    @Override
    public void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        Room room = room(send, receive, below(Math.floorMod(me - root, size)));
        deal(tag, room, root);
        copy(room.own(me), receive);
    }

    /** The blocks of those below each rank come into its room. */
    private void deal(OperationTag tag, Room room, int root) {
        int mine = Math.floorMod(me - root, size);
        int below = below(mine);
        if (mine != 0) {
            int parent = Math.floorMod(me - Integer.lowestOneBit(mine), size);
            mesh.transfer(List.of(), room.letters(tag, me, below, parent));
        }
        for (int distance = Integer.highestOneBit(below - 1); distance > 0; distance /= 2) {
            int child = (me + distance) % size;
            int count = Math.min(distance, below - distance);
            mesh.transfer(room.letters(tag, child, count, child), List.of());
        }
    }

    /** How many ranks a rank has below it in a tree, itself included. */
    private int below(int fromRoot) {
        return fromRoot == 0 ? size : Math.min(Integer.lowestOneBit(fromRoot), size - fromRoot);
    }

    /**
     * For the blocks of this rank and those below it: all of {@code whole}, which the root gives, or else memory of their own; this
     * rank's block alone stays where it is.
     */
    private Room room(@Nullable HostBuffer whole, HostBuffer one, int below) {
        if (whole != null) {
            return new Room(whole, Blocks.even(size, one.length()), 0);
        }
        HostBuffer own = below == 1 ? one : HostBuffer.allocate(one.type(), below * one.length());
        return new Room(own, Blocks.even(size, one.length()), me);
    }

    /**
     * Blocks of ranks that follow each other around the group.
     *
     * @param first the rank whose block {@code data} begins with
     */
    private record Room(HostBuffer data, Blocks blocks, int first) {
        HostBuffer own(int rank) {
            return run(rank, 1);
        }

        /** The blocks of {@code count} ranks, where they lie one after the other. */
        private HostBuffer run(int from, int count) {
            long before = blocks.from(from) - blocks.from(first);
            long start = from < first ? blocks.total() + before : before;
            long end = blocks.from(from + count - 1) + blocks.count(from + count - 1);
            return data.slice(start, end - blocks.from(from));
        }

        /** The blocks of {@code count} ranks: those from rank 0 on in a letter of their own, for the root has them elsewhere. */
        List<Letter> letters(OperationTag tag, int from, int count, int peer) {
            int head = Math.min(count, blocks.ranks() - from);
            Letter one = new Letter(tag, run(from, head), peer);
            return head == count ? List.of(one) : List.of(one, new Letter(tag, run(0, count - head), peer));
        }
    }

    @Override
    public void allToAll(
            OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        if (size <= Pairs.ALL) {
            super.allToAll(tag, send, sendBlocks, receive, receiveBlocks);
        } else {
            new BruckAllToAll(mesh).run(tag, send, sendBlocks, receive, receiveBlocks);
        }
    }

    @Override
    public final void barrier(OperationTag tag) {
        HostBuffer nothing = HostBuffer.allocate(DataType.U8, 0);
        for (int distance = 1; distance < size; distance *= 2) {
            int to = (me + distance) % size;
            int from = Math.floorMod(me - distance, size);
            mesh.transfer(List.of(new Letter(tag, nothing, to)), List.of(new Letter(tag, nothing, from)));
            mesh.later(1);
        }
    }

    final void send(OperationTag tag, HostBuffer data, int peer) {
        mesh.transfer(List.of(new Letter(tag, data, peer)), List.of());
    }

    final void receive(OperationTag tag, HostBuffer data, int peer) {
        mesh.transfer(List.of(), List.of(new Letter(tag, data, peer)));
    }
}
