package org.lockstep.cpu;

import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * The algorithms of one step or two among all ranks, for up to {@value #DIRECT_RANKS} of them.
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
class DirectCollectives implements Collectives {
    /** In larger groups one step among all takes too long for small data. */
    static final int DIRECT_RANKS = 16;

    private static final long ONE_STEP_BYTES = 8 * 1024;

    /** Two ranks send the same either way; of more than the caches hold, joining all of it twice costs more than a step. */
    private static final long ONE_STEP_BYTES_OF_TWO = 4 << 20;

    final Mesh mesh;
    final int me;
    final int size;
    final Reduction reduction;
    final @Nullable HostBuffer[] offers;
    final @Nullable HostBuffer[] targets;

    DirectCollectives(Mesh mesh) {
        this.mesh = mesh;
        this.me = mesh.rank();
        this.size = mesh.size();
        this.reduction = new Reduction(size);
        this.offers = new @Nullable HostBuffer[size];
        this.targets = new @Nullable HostBuffer[size];
    }

    @Override
    public final int size() {
        return size;
    }

    @Override
    public void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        if (mesh.lends(send.bytes()) || send.bytes() > (size > 2 ? ONE_STEP_BYTES : ONE_STEP_BYTES_OF_TWO)) {
            allReduceByShares(tag, send, receive, joining);
        } else {
            offerToAll(send);
            fold(tag, send, receive, joining);
        }
        mesh.settle();
    }

    final void allReduceByShares(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        Blocks shares = Blocks.shares(size, send.length());
        HostBuffer result = block(shares, receive, me);
        foldBlock(tag, shares, send, result, joining);
        offerToAll(result);
        // That a peer shows its share also says that it has read ours of its, which is overwritten now.
        targetBlocks(shares, receive);
        mesh.exchange(tag, offers, targets);
    }

    /** Joins this rank's block of what all ranks send into {@code result}, which may be that very block of {@code send}. */
    final void foldBlock(OperationTag tag, Blocks blocks, HostBuffer send, HostBuffer result, Joining joining) {
        offerBlocks(blocks, send);
        // Nobody else looks at a rank's own block of its own buffer, so the result may go there at once.
        fold(tag, mine(offers), result, joining);
    }

    private void fold(OperationTag tag, HostBuffer own, HostBuffer target, Joining joining) {
        mesh.fold(tag, offers, own, reduction.into(target, joining));
        reduction.finish(target);
    }

    @Override
    public void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        offerToAll(null);
        if (me == root) {
            fold(tag, send, receive, joining);
        } else {
            offers[root] = send;
            targetNothing();
            mesh.exchange(tag, offers, targets);
        }
        mesh.settle();
    }

    /** This rank's part of a reduction, in the type in which parts travel: floating ones of less than 32 bits as f32. */
    static HostBuffer wide(HostBuffer send) {
        return send.type().isNarrow() ? send.to(DataType.F32) : send;
    }

    @Override
    public void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        foldBlock(tag, blocks, send, receive, joining);
        mesh.settle();
    }

    @Override
    public void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        offerToAll(send);
        targetBlocks(blocks, receive);
        mesh.exchange(tag, offers, targets);
        copy(send, mine(targets));
        mesh.settle();
    }

    @Override
    public void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        offerToAll(me == root ? send : null);
        targetNothing();
        if (me != root) {
            targets[root] = receive;
        }
        mesh.exchange(tag, offers, targets);
        if (me == root) {
            copy(send, receive);
        }
        mesh.settle();
    }

    @Override
    public void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        Blocks blocks = Blocks.even(size, send.length());
        offerToAll(null);
        if (receive == null) {
            offers[root] = send;
            targetNothing();
        } else {
            targetBlocks(blocks, receive);
        }
        mesh.exchange(tag, offers, targets);
        if (receive != null) {
            copy(send, mine(targets));
        }
        mesh.settle();
    }

    @Override
    public void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        Blocks blocks = Blocks.even(size, receive.length());
        targetNothing();
        if (send == null) {
            offerToAll(null);
            targets[root] = receive;
        } else {
            offerBlocks(blocks, send);
        }
        mesh.exchange(tag, offers, targets);
        if (send != null) {
            copy(mine(offers), receive);
        }
        mesh.settle();
    }

    @Override
    public void allToAll(
            OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        offerBlocks(sendBlocks, send);
        targetBlocks(receiveBlocks, receive);
        mesh.exchange(tag, offers, targets);
        copy(mine(offers), mine(targets));
        mesh.settle();
    }

    @Override
    public void barrier(OperationTag tag) {
        offerToAll(null);
        targetNothing();
        mesh.exchange(tag, offers, targets);
        mesh.settle();
    }

    final void offerToAll(@Nullable HostBuffer buffer) {
        for (int peer = 0; peer < size; peer++) {
            if (offers[peer] != buffer) { // the same as before, mostly, and storing a reference costs a fence
                offers[peer] = buffer;
            }
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

    /** This rank's own of what was cut for all, which is not cut twice: a buffer is an object. */
    private HostBuffer mine(@Nullable HostBuffer[] blocks) {
        return Objects.requireNonNull(blocks[me]);
    }

    static HostBuffer block(Blocks blocks, HostBuffer whole, int rank) {
        return (HostBuffer) blocks.of(whole, rank);
    }

    /**
     * Every rank's block in {@code all} of the root, where the others have null; no rank but the root hears of another, which have
     * agreed before.
     */
    static void collect(
            Mesh mesh, OperationTag tag, HostBuffer mine, @Nullable HostBuffer all, Blocks blocks, int root) {
        if (all == null) {
            mesh.transfer(List.of(new Letter(tag, mine, root)), List.of());
        } else {
            copy(mine, block(blocks, all, mesh.rank()));
            mesh.transfer(List.of(), letters(mesh, tag, all, blocks));
        }
    }

    /** Each other rank's block of {@code whole}. */
    static List<Letter> letters(Mesh mesh, OperationTag tag, HostBuffer whole, Blocks blocks) {
        return IntStream.range(0, mesh.size())
                .filter(peer -> peer != mesh.rank())
                .mapToObj(peer -> new Letter(tag, block(blocks, whole, peer), peer))
                .toList();
    }

    static void copy(HostBuffer from, HostBuffer to) {
        if (from.array() != to.array() || from.offset() != to.offset()) {
            to.copyFrom(from);
        }
    }
}
