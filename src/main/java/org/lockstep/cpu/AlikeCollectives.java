package org.lockstep.cpu;

import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * Layers over hosts that are cut alike, each with the same power of two of ranks that follow each other: what such a host adds up
 * to is a subtree of the one order of addition, and needs no more than to be added further.
 *
 * <p>For k hosts and S bytes, steps after the barrier as {@link LayeredCollectives} count them, bytes over the network of all ranks
 * together where those of a column send the least, and the parts:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce</td><td>3 steps where a share crosses in one, else 4</td><td>2 · (k-1) · S</td><td>reduce-scatter in the host, all-reduce of a column, all-gather in the host</td></tr>
 * <tr><td>reduce</td><td>3 steps</td><td>(k-1) · S</td><td>reduce-scatter in the host, reduce of a column, to the root in its host</td></tr>
 * <tr><td>reduce-scatter</td><td>2 steps</td><td>(k-1) · S</td><td>reduce-scatter in the host of what each column needs, then of the column</td></tr>
 * </table>
 *
 * <p>Sums of 16 and 8 bits that are floating cross as f32, for that of a host must not be rounded. A reduction takes room for a rank's share of what its host
 * adds up to, a reduce-scatter for the caller's buffer too.
 */
final class AlikeCollectives extends LayeredCollectives {
    private final Collectives across;

    /** @param across of this rank's column */
    AlikeCollectives(Mesh mesh, Hosts hosts, Collectives across) {
        super(mesh, hosts, across);
        this.across = across;
    }

    @Override
    void addToAll(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        Blocks shares = Blocks.shares(near.size(), send.length());
        HostBuffer share = shareOfHost(tag, DirectCollectives.wide(send), joining, shares);
        across.allReduce(tag, share, share, joining);
        near.allGather(tag, share.to(receive.type()), receive, shares);
    }

    @Override
    void addToOne(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        Blocks shares = Blocks.shares(near.size(), send.length());
        HostBuffer share = shareOfHost(tag, DirectCollectives.wide(send), joining, shares);
        across.reduce(tag, share, share, joining, hosts.hostOf(root));
        if (hosts.home() == hosts.hostOf(root)) {
            collect(tag, share.to(receive.type()), receive, shares, root);
        }
    }

    @Override
    void addToEach(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        ColumnCut cut = new ColumnCut(hosts, blocks);
        HostBuffer part = shareOfHost(tag, cut.pack(DirectCollectives.wide(send)), joining, cut.columns());
        HostBuffer sum = part.type() == receive.type() ? receive : HostBuffer.allocate(part.type(), receive.length());
        across.reduceScatter(tag, part, sum, joining, cut.hosts(hosts.place()));
        DirectCollectives.copy(sum.to(receive.type()), receive);
    }

    /** This rank's share of what its host adds up to. */
    private HostBuffer shareOfHost(OperationTag tag, HostBuffer mine, Joining joining, Blocks shares) {
        HostBuffer share = HostBuffer.allocate(mine.type(), shares.count(hosts.place()));
        near.reduceScatter(tag, mine, share, joining.partial(), shares);
        return share;
    }
}
