package org.lockstep.cpu;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * The algorithms of more than {@value #DIRECT_RANKS} ranks, {@value Pairs#ALL} at most, so that any two may be connected:
 * reductions of more than {@value #SHARE_BYTES} bytes a rank go in shares among all, gather and scatter to and from the root
 * at once.
 *
 * <p>For n ranks and S bytes, steps and bytes that each rank sends:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, S &gt; n · 4 KiB</td><td>2 steps</td><td>2 · S · (n-1)/n</td><td>each joins its share, then shows it</td></tr>
 * <tr><td>reduce, S &gt; n · 4 KiB</td><td>2 steps</td><td>S</td><td>each joins its share, then sends it to the root</td></tr>
 * <tr><td>reduce-scatter, S &gt; n · 4 KiB</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>gather</td><td>1 step</td><td>S/n</td><td>direct</td></tr>
 * <tr><td>scatter</td><td>1 step</td><td>S · (n-1)/n at the root</td><td>direct</td></tr>
 * </table>
 *
 * <p>All others are those of {@link TreeCollectives}. A reduce takes room for one share, the others for none.
 */
final class SharesCollectives extends TreeCollectives {
    /** Of smaller shares the messages of all to all cost more than a tree does. */
    private static final int SHARE_BYTES = 4 * 1024;

    SharesCollectives(Mesh mesh) {
        super(mesh);
    }

    /** Whether {@code data}, of all ranks, is worth a message from each to each. */
    private boolean isShared(HostBuffer data) {
        return data.bytes() > (long) size * SHARE_BYTES;
    }

    @Override
    public void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        if (!isShared(send)) {
            super.allReduce(tag, send, receive, joining);
            return;
        }
        allReduceByShares(tag, send, receive, joining);
        mesh.settle();
    }

    @Override
    public void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        if (!isShared(send)) {
            super.reduce(tag, send, receive, joining, root);
            return;
        }
        Blocks shares = Blocks.shares(size, send.length());
        HostBuffer share =
                me == root ? block(shares, receive, me) : HostBuffer.allocate(receive.type(), shares.count(me));
        foldBlock(tag, shares, send, share, joining);
        // That a peer sends its share also says that it has read the root's of it, which is overwritten now.
        collect(mesh, tag, share, me == root ? receive : null, shares, root);
        mesh.settle();
    }

    @Override
    public void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        if (!isShared(send)) {
            super.reduceScatter(tag, send, receive, joining, blocks);
            return;
        }
        foldBlock(tag, blocks, send, receive, joining);
        mesh.settle();
    }

    @Override
    public void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        collect(mesh, tag, send, receive, Blocks.even(size, send.length()), root);
    }

    @Override
    public void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        if (send == null) {
            mesh.transfer(List.of(), List.of(new Letter(tag, receive, root)));
            return;
        }
        Blocks blocks = Blocks.even(size, receive.length());
        mesh.transfer(letters(mesh, tag, send, blocks), List.of());
        copy(block(blocks, send, me), receive);
    }
}
