package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;

/**
 * The algorithms of groups over several hosts, however many and with any number of ranks on each: inside the host first, so that
 * a byte crosses to another host once. Each is put together from those of the ranks of a host and of a {@linkplain Hosts column},
 * which are what fits their numbers.
 *
 * <p>For k hosts and S bytes, steps after the barrier, bytes over the network of all ranks together where those of a column send the
 * least, and the parts:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-gather</td><td>2 steps, 4 where hosts have unequal numbers of ranks</td><td>(k-1) · S</td><td>to who carries it, of a column, to who shows it, in the host</td></tr>
 * <tr><td>broadcast</td><td>2 steps, 3 where the root is in no column</td><td>(k-1) · S</td><td>to who carries it, of the root's column, in the host</td></tr>
 * </table>
 *
 * <p>Steps are counted, here and where reductions are, for up to {@value DirectCollectives#DIRECT_RANKS} hosts of up to as many
 * ranks: a part among more takes those of {@link TreeCollectives}, {@link SharesCollectives} or {@link HalvingCollectives} for it.
 * The barrier takes 1 of up to {@value DirectCollectives#DIRECT_RANKS} ranks, of n more of them ⌈log2 n⌉.
 *
 * <p>How they reduce {@link AlikeCollectives} and {@link UnevenCollectives} say. All begin with the group's barrier, so that the
 * parts may wait for whom they like. An all-gather takes room for as much as it receives. As many ranks of each host carry what
 * crosses as the smallest has: beside a host of one, one. Small data, and what differs for each rank and crosses once anyway
 * (gather, scatter, all-to-all), go as in a group that knows no hosts.
 */
abstract class LayeredCollectives implements Collectives {
    /**
     * Layers take about four steps more (a barrier, one in the host before, one after, the copies between) of some 15 µs each: 60 µs,
     * in which a network of 1 GB/s carries as much. Reckoned, not measured between hosts.
     */
    private static final long FLAT_BYTES = 64 * 1024;

    final int me;
    final Hosts hosts;
    final Collectives near;
    private final Mesh nearMesh;
    private final @Nullable Collectives across; // of this rank's column, if it is in one
    private final Collectives flat;

    LayeredCollectives(Mesh mesh, Hosts hosts, @Nullable Collectives across) {
        this.hosts = hosts;
        this.nearMesh = mesh.among(hosts.near());
        this.near = Collectives.agreed(nearMesh, nearMesh.size()); // who shares memory needs no connection
        this.across = across;
        this.flat = Collectives.flat(mesh);
        this.me = mesh.rank();
    }

    @Override
    public final int size() {
        return flat.size();
    }

    /** Whether what layers spare, so many bytes for each rank of a host but one, costs less than their steps. */
    private boolean isSmall(long bytes) {
        return bytes * (size() - hosts.count()) <= FLAT_BYTES * hosts.count();
    }

    @Override
    public final void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        if (isSmall(send.bytes())) {
            flat.allReduce(tag, send, receive, joining);
        } else {
            flat.barrier(tag);
            addToAll(tag, send, receive, joining);
        }
    }

    /** An all-reduce of ranks that are in the same operation. */
    abstract void addToAll(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining);

    @Override
    public final void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        if (isSmall(send.bytes())) {
            flat.reduce(tag, send, receive, joining, root);
        } else {
            flat.barrier(tag);
            addToOne(tag, send, receive, joining, root);
        }
    }

    /** A reduce of ranks that are in the same operation. */
    abstract void addToOne(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root);

    @Override
    public final void reduceScatter(
            OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        if (isSmall(send.bytes())) {
            flat.reduceScatter(tag, send, receive, joining, blocks);
        } else {
            flat.barrier(tag);
            addToEach(tag, send, receive, joining, blocks);
        }
    }

    /** A reduce-scatter of ranks that are in the same operation. */
    abstract void addToEach(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks);

    /** Small data of few ranks go at once; of more than that they would go around a ring. */
    @Override
    public final void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        if (isSmall(receive.bytes()) && size() <= DirectCollectives.DIRECT_RANKS) {
            flat.allGather(tag, send, receive, blocks);
        } else {
            flat.barrier(tag);
            gatherToAll(tag, send, receive, blocks);
        }
    }

    /** An all-gather of ranks that are in the same operation. */
    final void gatherToAll(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        ColumnCut cut = new ColumnCut(hosts, blocks);
        HostBuffer packed = HostBuffer.allocate(receive.type(), receive.length());
        int place = hosts.place();
        if (across == null) {
            nearMesh.transfer(List.of(new Letter(tag, send, place % hosts.columns())), List.of());
            nearMesh.later(hosts.count());
        } else {
            DirectCollectives.copy(send, cut.block(packed, me));
            List<Letter> carried = new ArrayList<>();
            for (int other = place + hosts.columns(); other < near.size(); other += hosts.columns()) {
                carried.add(new Letter(tag, cut.block(packed, hosts.near().get(other)), other));
            }
            nearMesh.transfer(List.of(), carried);
            HostBuffer column = DirectCollectives.block(cut.columns(), packed, place);
            Blocks parts = cut.hosts(place);
            across.allGather(tag, DirectCollectives.block(parts, column, hosts.home()), column, parts);
        }
        Blocks shown = cut.columns();
        if (near.size() > hosts.columns()) {
            shown = Blocks.shares(near.size(), packed.length());
            deal(tag, packed, cut.columns(), shown);
        }
        near.allGather(tag, DirectCollectives.block(shown, packed, place), packed, shown);
        cut.unpack(packed, receive);
    }

    /** What the columns hold of {@code whole} comes to all ranks of the host in shares. */
    private void deal(OperationTag tag, HostBuffer whole, Blocks columns, Blocks shares) {
        List<Letter> out = new ArrayList<>();
        List<Letter> in = new ArrayList<>();
        for (int column = 0; column < columns.ranks(); column++) {
            for (int place = 0; place < shares.ranks(); place++) {
                long from = Math.max(columns.from(column), shares.from(place));
                long to = Math.min(
                        columns.from(column) + columns.count(column), shares.from(place) + shares.count(place));
                if (from < to && column != place) {
                    if (column == hosts.place()) {
                        out.add(new Letter(tag, whole.slice(from, to - from), place));
                    } else if (place == hosts.place()) {
                        in.add(new Letter(tag, whole.slice(from, to - from), column));
                    }
                }
            }
        }
        nearMesh.transfer(out, in);
    }

    /** Each share of {@code whole} that a rank of this host has comes to {@code root}, one of them. */
    final void collect(OperationTag tag, HostBuffer share, HostBuffer whole, Blocks shares, int root) {
        DirectCollectives.collect(
                nearMesh,
                tag,
                share,
                me == root ? whole : null,
                shares,
                hosts.near().indexOf(root));
    }

    @Override
    public final void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        if (isSmall(receive.bytes())) {
            flat.broadcast(tag, send, receive, root);
            return;
        }
        flat.barrier(tag);
        int home = hosts.hostOf(root);
        int place = hosts.ranks().get(home).indexOf(root);
        int column = place % hosts.columns();
        HostBuffer data = me == root ? send : receive;
        if (me == root && place != column) {
            nearMesh.transfer(List.of(new Letter(tag, send, column)), List.of());
        } else if (hosts.home() == home && hosts.place() == column && place != column) {
            nearMesh.transfer(List.of(), List.of(new Letter(tag, receive, place)));
        }
        if (hosts.place() == column && across != null) {
            across.broadcast(tag, data, receive, home);
        } else {
            nearMesh.later(hosts.count());
        }
        near.broadcast(tag, receive, receive, column);
    }

    @Override
    public final void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        flat.gather(tag, send, receive, root);
    }

    @Override
    public final void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        flat.scatter(tag, send, receive, root);
    }

    @Override
    public final void allToAll(
            OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        flat.allToAll(tag, send, sendBlocks, receive, receiveBlocks);
    }

    @Override
    public final void barrier(OperationTag tag) {
        flat.barrier(tag);
    }
}
