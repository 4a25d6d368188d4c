package org.lockstep.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * The algorithms of groups over several hosts, cut alike so that each can add what its ranks have: inside the host first, so
 * that each byte crosses to another host once. At most {@value #LAYER_RANKS} ranks on a host, and as many hosts.
 *
 * <p>For k hosts of m ranks and S bytes, steps and bytes that each rank sends over the network:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, of two hosts, or where a rank sends at most 16 KiB so</td><td>3 steps</td><td>(k-1) · S/m</td><td>host's share, joined across, shown in the host</td></tr>
 * <tr><td>all-reduce</td><td>4 steps</td><td>2 · S/m · (k-1)/k</td><td>host's share, joined in pieces, shown across, then in the host</td></tr>
 * <tr><td>reduce</td><td>3 steps</td><td>S/m but on the root's host</td><td>host's share, joined on the root's host, shown to it</td></tr>
 * <tr><td>reduce-scatter</td><td>k + 1 steps</td><td>S · (k-1)/(k · m)</td><td>a host's parts, then joined across</td></tr>
 * <tr><td>all-gather</td><td>k + 1 steps</td><td>S · (k-1)/(k · m)</td><td>across, then shown in the host</td></tr>
 * <tr><td>broadcast</td><td>2 steps</td><td>(k-1) · S at the root</td><td>one rank a host, then in the host</td></tr>
 * <tr><td>barrier</td><td>2 steps</td><td>0</td><td>tags only</td></tr>
 * </table>
 *
 * <p>16-bit elements cross as f32: the sum of a host must not be rounded. Every rank hears the tags of its host and
 * of its counterparts, and waits for those who wait for others.
 */
final class LayeredCollectives extends HostwiseCollectives {
    private final Mesh.Circle across;

    LayeredCollectives(Mesh mesh, int rankInGroup, int size, Hosts hosts) {
        super(mesh, rankInGroup, size, hosts);
        this.across = mesh.circle(hosts.column(hosts.place()));
    }

    @Override
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        HostBuffer mine = wide(send, op);
        HostBuffer result = like(mine, receive);
        Blocks shares = Blocks.shares(near.size(), mine.length());
        HostBuffer share = block(shares, result, hosts.place());
        HostBuffer part = shareOfHost(tag, mine, shares, op);
        // of two hosts either way sends the same
        if (across.size() == 2 || isOneStep((across.size() - 1) * part.bytes())) {
            offerToAll(part);
            fold(across, tag, part, share, op.kind(), divisor(op));
            reduction.finish(share);
        } else {
            joinByHosts(tag, part, share, op);
        }
        show(near, tag, shares, result, hosts.place());
        settle();
        copy(result.to(receive.type()), receive);
    }

    /** Each of this rank's counterparts joins a piece of their parts, and shows it to the others. */
    private void joinByHosts(OperationTag tag, HostBuffer part, HostBuffer share, ReduceOp op) {
        Blocks pieces = Blocks.shares(across.size(), part.length());
        HostBuffer own = block(pieces, share, hosts.home());
        for (int host = 0; host < across.size(); host++) {
            offers[across.member(host)] = block(pieces, part, host);
        }
        fold(across, tag, block(pieces, part, hosts.home()), own, op.kind(), divisor(op));
        reduction.finish(own);
        show(across, tag, pieces, share, hosts.home());
    }

    /** This rank's share of what its host adds up to. */
    private HostBuffer shareOfHost(OperationTag tag, HostBuffer mine, Blocks shares, ReduceOp op) {
        HostBuffer part = HostBuffer.allocate(mine.type(), shares.count(hosts.place()));
        for (int i = 0; i < near.size(); i++) {
            offers[near.member(i)] = block(shares, mine, i);
        }
        fold(near, tag, block(shares, mine, hosts.place()), part, op.kind(), 1);
        return part;
    }

    @Override
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        HostBuffer mine = wide(send, op);
        Blocks shares = Blocks.shares(near.size(), mine.length());
        HostBuffer part = shareOfHost(tag, mine, shares, op);
        int home = across.member(hosts.hostOf(root));
        HostBuffer share = HostBuffer.allocate(part.type(), part.length());
        clear();
        if (me == home) {
            fold(across, tag, part, share, op.kind(), divisor(op));
            reduction.finish(share);
            offers[root] = share;
        } else {
            offers[home] = part;
            mesh.exchange(across, tag, offers, targets);
            offers[home] = null;
        }
        HostBuffer result = null;
        if (me == root) {
            result = like(part, receive);
            for (int i = 0; i < near.size(); i++) {
                targets[near.member(i)] = block(shares, result, i);
            }
        }
        mesh.exchange(near, tag, offers, targets);
        settle();
        if (result != null) {
            copy(share, block(shares, result, hosts.place()));
            copy(result.to(receive.type()), receive);
        }
    }

    @Override
    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
        HostBuffer mine = wide(send, op);
        HostBuffer result = like(mine, receive);
        HostBuffer[] parts = new HostBuffer[across.size()];
        for (int host = 0; host < parts.length; host++) {
            int counterpart = across.member(host);
            parts[host] = HostBuffer.allocate(mine.type(), blocks.count(counterpart));
            for (int i = 0; i < near.size(); i++) {
                offers[near.member(i)] = block(blocks, mine, host * near.size() + i);
            }
            fold(near, tag, block(blocks, mine, counterpart), parts[host], op.kind(), 1);
        }
        HostBuffer own = parts[hosts.home()];
        for (int host = 0; host < parts.length; host++) {
            offers[across.member(host)] = parts[host];
        }
        fold(across, tag, own, result, op.kind(), divisor(op));
        reduction.finish(result);
        settle();
        copy(result.to(receive.type()), receive);
    }

    @Override
    void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        offerToAll(send);
        targetBlocks(blocks, receive);
        mesh.exchange(across, tag, offers, targets);
        copy(send, block(blocks, receive, me));
        for (int host = 0; host < across.size(); host++) {
            offerToAll(block(blocks, receive, across.member(host)));
            for (int i = 0; i < near.size(); i++) {
                targets[near.member(i)] = block(blocks, receive, host * near.size() + i);
            }
            mesh.exchange(near, tag, offers, targets);
        }
        settle();
    }

    @Override
    void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        int place = root % near.size();
        int leader = near.member(place);
        offerToAll(me == root ? send : null);
        targetOnly(root, me != root && me == leader ? receive : null);
        mesh.exchange(across, tag, offers, targets);
        offerToAll(me == root ? send : me == leader ? receive : null);
        targetOnly(leader, me != leader ? receive : null);
        mesh.exchange(near, tag, offers, targets);
        if (me == root) {
            copy(send, receive);
        }
        settle();
    }

    private void targetOnly(int from, @Nullable HostBuffer target) {
        Arrays.fill(targets, null);
        targets[from] = target;
    }

    @Override
    void barrier(OperationTag tag) {
        clear();
        mesh.exchange(across, tag, offers, targets);
        mesh.exchange(near, tag, offers, targets);
        settle();
    }
}
