package org.lockstep.cpu;

import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Pairs;

/**
 * The algorithms of the host's collectives, over a {@link Mesh} of links of any kind: here those of one step or two among all
 * ranks, for groups of up to {@value #DIRECT_RANKS} of one host, or of hosts that are not {@link HostwiseCollectives}'.
 *
 * <p>For n ranks and S bytes (as nccl-tests counts them: all-gather what is received in all, reduce-scatter what is sent in
 * all), steps and bytes that each rank sends; over threads of one JVM it sends no bytes above 4 KiB, its peers read as many
 * of its memory:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, S ≤ 8 KiB, of two ranks ≤ 4 MiB, with threads of one JVM ≤ 4 KiB</td><td>1 step</td><td>(n-1) · S</td><td>all to all, each joins everything</td></tr>
 * <tr><td>all-reduce</td><td>2 steps</td><td>2 · S · (n-1)/n</td><td>each joins its share, then shows it</td></tr>
 * <tr><td>reduce</td><td>1 step</td><td>S</td><td>direct</td></tr>
 * <tr><td>reduce-scatter</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>all-gather</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>broadcast</td><td>1 step</td><td>(n-1) · S at the root</td><td>flat</td></tr>
 * <tr><td>gather, scatter, all-to-all</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>barrier</td><td>1 step</td><td>0</td><td>tags only</td></tr>
 * </table>
 *
 * <p>A ring would send no fewer bytes and add in another order for each share: its results would differ from those of one
 * step. In every step all ranks tell all others their tags: that is how each learns of a mismatch at that very operation.
 *
 * <p>Confined to the thread that the communicator admitted.
 */
class Collectives {
    /** In larger groups one step among all takes too long for small data. */
    static final int DIRECT_RANKS = 16;

    /** So many on a host, and so many hosts: of more, the messages of a step among all of a layer outweigh the bytes it spares. */
    static final int LAYER_RANKS = 32;

    private static final long ONE_STEP_BYTES = 8 * 1024;

    /** Two ranks send the same either way; of more than the caches hold, joining all of it twice costs more than a step. */
    private static final long ONE_STEP_BYTES_OF_TWO = 4 << 20;

    final Mesh mesh;
    final int me;
    final int size;
    final Reduction reduction;
    final @Nullable HostBuffer[] offers;
    final @Nullable HostBuffer[] targets;
    private final Mesh.Circle all;
    private final Join join = new Join();

    Collectives(Mesh mesh, int rankInGroup, int size) {
        this.mesh = mesh;
        this.me = rankInGroup;
        this.size = size;
        this.reduction = new Reduction(size);
        this.offers = new @Nullable HostBuffer[size];
        this.targets = new @Nullable HostBuffer[size];
        this.all = mesh.circle(IntStream.range(0, size).boxed().toList());
    }

    /**
     * The algorithms that fit a group.
     *
     * @param hosts by rank in group: equal for ranks that share memory
     */
    static Collectives of(Mesh mesh, int rankInGroup, int[] hosts) {
        int size = hosts.length;
        Hosts byHost = Hosts.of(hosts, rankInGroup);
        boolean fits = byHost.count() <= LAYER_RANKS && byHost.most() <= LAYER_RANKS;
        if (!fits || !byHost.isSpread()) {
            return flat(mesh, rankInGroup, size);
        }
        if (byHost.isCutAlike()) {
            return new LayeredCollectives(mesh, rankInGroup, size, byHost);
        }
        boolean isBalanced = byHost.most() <= 2 * byHost.columns(); // or one column would do all the work
        return isBalanced ? new UnevenCollectives(mesh, rankInGroup, size, byHost) : flat(mesh, rankInGroup, size);
    }

    /** Those of a group that knows no hosts. */
    static Collectives flat(Mesh mesh, int rankInGroup, int size) {
        return size > DIRECT_RANKS ? ofLarge(mesh, rankInGroup, size) : new Collectives(mesh, rankInGroup, size);
    }

    /** A larger group may be whole too, of one host; but memory shared with each other rank is much for all of them. */
    private static Collectives ofLarge(Mesh mesh, int rankInGroup, int size) {
        if (size <= Pairs.ALL) {
            return new SharesCollectives(mesh, rankInGroup, size);
        }
        return Integer.bitCount(size) == 1
                ? new HalvingCollectives(mesh, rankInGroup, size)
                : new TreeCollectives(mesh, rankInGroup, size);
    }

    /** Where a fold puts its results. */
    private final class Join implements Mesh.Fold {
        private @Nullable HostBuffer target;
        private ReduceOp.Kind op = ReduceOp.Kind.SUM;
        private int divisor = 1;

        Join into(HostBuffer place, ReduceOp.Kind how, int by) {
            target = place;
            op = how;
            divisor = by;
            return this;
        }

        @Override
        public void join(HostBuffer[] sources, int[] at, int from, int count) {
            HostBuffer place = target;
            if (place != null) {
                reduction.reduce(sources, at, place, from, count, op, divisor);
            }
        }
    }

    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        HostBuffer mine = own(send, op);
        if (mesh.lends(mine.bytes()) || mine.bytes() > (size > 2 ? ONE_STEP_BYTES : ONE_STEP_BYTES_OF_TWO)) {
            allReduceByShares(tag, mine, receive, op);
        } else {
            offerToAll(mine);
            fold(tag, mine, receive, op);
        }
        mesh.settle();
    }

    final void allReduceByShares(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        Blocks shares = Blocks.shares(size, send.length());
        HostBuffer result = block(shares, receive, me);
        foldBlock(tag, shares, send, result, op);
        offerToAll(result);
        // That a peer shows its share also says that it has read ours of its, which is overwritten now.
        targetBlocks(shares, receive);
        mesh.exchange(all, tag, offers, targets);
    }

    /** Joins this rank's block of what all ranks send into {@code result}, which may be that very block of {@code send}. */
    final void foldBlock(OperationTag tag, Blocks blocks, HostBuffer send, HostBuffer result, ReduceOp op) {
        offerBlocks(blocks, send);
        // Nobody else looks at a rank's own block of its own buffer, so the result may go there at once.
        fold(tag, block(blocks, send, me), result, op);
    }

    private void fold(OperationTag tag, HostBuffer own, HostBuffer target, ReduceOp op) {
        fold(all, tag, own, target, op.kind(), divisor(op));
        reduction.finish(target);
    }

    /** Joins what the circle offers into {@code target}, whose bits are final after {@link Reduction#finish}. */
    final void fold(
            Mesh.Circle circle, OperationTag tag, HostBuffer own, HostBuffer target, ReduceOp.Kind op, int divisor) {
        mesh.fold(circle, tag, offers, own, join.into(target, op, divisor));
    }

    /** By what a reduction over the group divides in the end. */
    final int divisor(ReduceOp op) {
        return op.kind() == ReduceOp.Kind.AVG ? size : 1;
    }

    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        HostBuffer mine = own(send, op);
        if (me == root) {
            offerToAll(null);
            fold(tag, mine, receive, op);
        } else {
            offerToAll(null);
            offers[root] = mine;
            targetNothing();
            mesh.exchange(all, tag, offers, targets);
        }
        mesh.settle();
    }

    /** This rank's part of a reduction, in the type in which parts of a sum travel: 16-bit elements as f32. */
    static HostBuffer wide(HostBuffer send, ReduceOp op) {
        DataType type = send.type();
        boolean half = type == DataType.BF16 || type == DataType.F16;
        return own(send, op).to(half ? DataType.F32 : type);
    }

    /** This rank's part of a reduction. */
    static HostBuffer own(HostBuffer send, ReduceOp op) {
        if (op.kind() != ReduceOp.Kind.PREMULTIPLIED_SUM) {
            return send;
        }
        HostBuffer scaled = HostBuffer.allocate(send.type(), send.length());
        scaled.copyFrom(send);
        scaled.scale(op.factor());
        return scaled;
    }

    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
        foldBlock(tag, blocks, own(send, op), receive, op);
        mesh.settle();
    }

    void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        offerToAll(send);
        targetBlocks(blocks, receive);
        mesh.exchange(all, tag, offers, targets);
        copy(send, block(blocks, receive, me));
        mesh.settle();
    }

    void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        offerToAll(me == root ? send : null);
        targetNothing();
        if (me != root) {
            targets[root] = receive;
        }
        mesh.exchange(all, tag, offers, targets);
        if (me == root) {
            copy(send, receive);
        }
        mesh.settle();
    }

    void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        Blocks blocks = Blocks.even(size, send.length());
        offerToAll(null);
        if (receive == null) {
            offers[root] = send;
            targetNothing();
        } else {
            targetBlocks(blocks, receive);
        }
        mesh.exchange(all, tag, offers, targets);
        if (receive != null) {
            copy(send, block(blocks, receive, me));
        }
        mesh.settle();
    }

    void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        Blocks blocks = Blocks.even(size, receive.length());
        targetNothing();
        if (send == null) {
            offerToAll(null);
            targets[root] = receive;
        } else {
            offerBlocks(blocks, send);
        }
        mesh.exchange(all, tag, offers, targets);
        if (send != null) {
            copy(block(blocks, send, me), receive);
        }
        mesh.settle();
    }

    void allToAll(OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        offerBlocks(sendBlocks, send);
        targetBlocks(receiveBlocks, receive);
        mesh.exchange(all, tag, offers, targets);
        copy(block(sendBlocks, send, me), block(receiveBlocks, receive, me));
        mesh.settle();
    }

    void barrier(OperationTag tag) {
        offerToAll(null);
        targetNothing();
        mesh.exchange(all, tag, offers, targets);
        mesh.settle();
    }

    final void offerToAll(@Nullable HostBuffer buffer) {
        for (int peer = 0; peer < size; peer++) {
            offers[peer] = buffer;
        }
    }

    final void offerBlocks(Blocks blocks, HostBuffer whole) {
        for (int peer = 0; peer < size; peer++) {
            offers[peer] = block(blocks, whole, peer);
        }
    }

    final void targetBlocks(Blocks blocks, HostBuffer whole) {
        for (int peer = 0; peer < size; peer++) {
            targets[peer] = block(blocks, whole, peer);
        }
    }

    final void targetNothing() {
        for (int peer = 0; peer < size; peer++) {
            targets[peer] = null;
        }
    }

    static HostBuffer block(Blocks blocks, HostBuffer whole, int rank) {
        return (HostBuffer) blocks.of(whole, rank);
    }

    static void copy(HostBuffer from, HostBuffer to) {
        if (from.array() != to.array() || from.offset() != to.offset()) {
            to.copyFrom(from);
        }
    }
}
