package org.lockstep.cpu;

import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * Layers over hosts that no {@link AlikeCollectives} know: with other numbers of ranks, unequal ones, or ranks that do not follow
 * each other. Such a host cannot add all that its ranks have, for elements are added in one order wherever ranks are. But
 * {@linkplain HalvingCollectives halving} goes by neighbours first, which is inside the host first where ranks follow each other.
 *
 * <p>For k hosts with g runs of ranks in all that are subtrees of that order, n ranks, log = ⌊log2 n⌋ and S bytes, more than 64 KiB (of
 * fewer halving leaves it to {@link TreeCollectives}), steps after the barrier as {@link LayeredCollectives} count them, bytes over the
 * network of all ranks together at most, and the parts:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce</td><td>those of the reduce-scatter, and up to 4</td><td>(g + k - 1) · S</td><td>reduce-scatter to shares, all-gather of those in layers</td></tr>
 * <tr><td>reduce</td><td>2 · log steps, up to 4 · log unless n is a power of two</td><td>(g + log k) · S</td><td>halving</td></tr>
 * <tr><td>reduce-scatter</td><td>log steps, up to 2 · log + 1 unless n is a power of two</td><td>g · S</td><td>halving</td></tr>
 * </table>
 */
final class UnevenCollectives extends LayeredCollectives {
    private final HalvingCollectives halving;

    /** @param across of this rank's column, if it is in one */
    UnevenCollectives(Mesh mesh, Hosts hosts, @Nullable Collectives across) {
        super(mesh, hosts, across);
        this.halving = new HalvingCollectives(mesh);
    }

    @Override
    void addToAll(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        Blocks shares = halving.shares(send.length());
        HostBuffer share = HostBuffer.allocate(receive.type(), shares.count(me));
        halving.reduceScatter(tag, send, share, joining, shares);
        gatherToAll(tag, share, receive, shares);
    }

    @Override
    void addToOne(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        halving.reduce(tag, send, receive, joining, root);
    }

    @Override
    void addToEach(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        halving.reduceScatter(tag, send, receive, joining, blocks);
    }
}
