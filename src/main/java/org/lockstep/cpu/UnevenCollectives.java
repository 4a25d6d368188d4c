package org.lockstep.cpu;

import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.cpu.Hosts.Segment;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * The algorithms of groups over several hosts that {@link LayeredCollectives} does not know: of unequal numbers of ranks, or of
 * numbers whose sums are no subtrees of the sum of all, or that do not follow each other. They go inside the host first too. Of
 * groups of more than {@value #DIRECT_RANKS} ranks only of those with at most as many on a host, and as many hosts.
 *
 * <p>As many {@linkplain Hosts columns} cross as the smallest host has ranks. A host cannot add all that its ranks have, for
 * elements are added in one order wherever ranks are: it adds its {@linkplain Segment segments}, and those cross. For k hosts
 * with g segments in all and S bytes, steps, and bytes over the network of all ranks together:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, at most 8 KiB a column</td><td>3 steps</td><td>(k-1) · g · S</td><td>segments, joined on every host, shown in it</td></tr>
 * <tr><td>all-reduce</td><td>4 steps</td><td>(k-1)/k · (g + k) · S</td><td>segments, joined in shares, shown across, then in the host</td></tr>
 * <tr><td>reduce</td><td>4 steps</td><td>(k-1)/k · (g + 1) · S</td><td>segments, joined in shares, collected on the root's host</td></tr>
 * <tr><td>reduce-scatter</td><td>3 steps</td><td>(k-1)/k · g · S where all have alike</td><td>segments, joined on the host of whose block it is</td></tr>
 * <tr><td>all-gather</td><td>3 steps</td><td>(k-1) · S</td><td>across, then shown in the host</td></tr>
 * <tr><td>broadcast</td><td>3 steps</td><td>(k-1) · S</td><td>one rank a host, then in the host</td></tr>
 * <tr><td>barrier</td><td>3 steps</td><td>0</td><td>tags only</td></tr>
 * </table>
 *
 * <p>All others are those of {@link Collectives}. 16-bit elements cross as f32, as there. Every operation begins and ends inside
 * the host, so that each rank waits for all, and hears of a mismatch in that operation. Takes room for as much as the caller's
 * buffers, on each rank of a column for that of its column from each rank of its host.
 */
final class UnevenCollectives extends Collectives {
    private static final long ONE_STEP_BYTES = 8 * 1024;
    private static final long LONGEST = Integer.MAX_VALUE - 64L; // elements of a buffer

    private final Hosts hosts;
    private final int columns;
    private final List<Segment> segments;
    private final Mesh.Circle near;
    private final Mesh.@Nullable Circle across; // of who is in a column

    UnevenCollectives(Mesh mesh, int rankInGroup, int size, Hosts hosts) {
        super(mesh, rankInGroup, size);
        this.hosts = hosts;
        this.columns = hosts.columns();
        this.segments = hosts.segments();
        this.near = mesh.circle(hosts.near());
        this.across = hosts.isInColumn() ? mesh.circle(hosts.column(hosts.place())) : null;
    }

    private void clear() {
        offerToAll(null);
        targetNothing();
    }

    /** All ranks of this host are in the operation. */
    private void meet(OperationTag tag) {
        clear();
        mesh.exchange(near, tag, offers, targets);
    }

    /** Whether the sums of one host's segments are more than a buffer has room for. */
    private boolean isTooLong(HostBuffer data) {
        int most = IntStream.range(0, hosts.count())
                .map(host -> of(host).size())
                .max()
                .orElseThrow();
        return most * data.length() > LONGEST;
    }

    @Override
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        if (isTooLong(send)) {
            super.allReduce(tag, send, receive, op);
            return;
        }
        HostBuffer mine = wide(send, op);
        HostBuffer result = like(mine, receive);
        ColumnCut cut = ColumnCut.shares(hosts, mine.length());
        int place = hosts.place();
        HostBuffer[] theirs = columnOfHost(tag, mine, cut);
        if (across != null) {
            HostBuffer column = cut.column(result, place);
            if (mine.bytes() <= columns * ONE_STEP_BYTES) {
                HostBuffer sums = sums(theirs, 0, column.length(), op);
                join(across, tag, host -> sums, column, op);
            } else {
                HostBuffer own = cut.part(result, place, hosts.home());
                joinShares(across, tag, theirs, cut.hosts().get(place), own, op);
                clear();
                for (int host = 0; host < hosts.count(); host++) {
                    offers[across.member(host)] = own;
                    targets[across.member(host)] = cut.part(result, place, host);
                }
                mesh.exchange(across, tag, offers, targets);
            }
        } else {
            mesh.skip(2);
        }
        show(tag, result, cut);
        mesh.settle();
        copy(result.to(receive.type()), receive);
    }

    /** Where a result in the type of {@code mine} goes that is to be in {@code receive}. */
    private static HostBuffer like(HostBuffer mine, HostBuffer receive) {
        return mine.type() == receive.type() ? receive : HostBuffer.allocate(mine.type(), receive.length());
    }

    /** What each rank of this host has of this rank's column, by rank in group; nothing of who is in no column. */
    private HostBuffer[] columnOfHost(OperationTag tag, HostBuffer packed, ColumnCut cut) {
        clear();
        HostBuffer[] theirs = new HostBuffer[size];
        for (int column = 0; column < columns; column++) {
            offers[near.member(column)] = cut.column(packed, column);
        }
        if (across != null) {
            long length = cut.columns().count(hosts.place());
            for (int rank : hosts.near()) {
                theirs[rank] =
                        rank == me ? cut.column(packed, hosts.place()) : HostBuffer.allocate(packed.type(), length);
                targets[rank] = theirs[rank];
            }
        }
        mesh.exchange(near, tag, offers, targets);
        return theirs;
    }

    /** The sums of this host's segments, one after the other, over {@code length} elements from {@code from} on. */
    private HostBuffer sums(HostBuffer[] theirs, long from, long length, ReduceOp op) {
        List<Segment> own = of(hosts.home());
        HostBuffer sums = HostBuffer.allocate(theirs[me].type(), own.size() * length);
        for (Segment segment : own) {
            HostBuffer[] sources = IntStream.range(segment.first(), segment.first() + segment.width())
                    .mapToObj(rank -> theirs[rank].slice(from, length))
                    .toArray(HostBuffer[]::new);
            HostBuffer sum = sums.slice(segment.index() * length, length);
            reduction.reduce(sources, new int[sources.length], sum, 0, sum.size(), op.kind(), 1);
        }
        return sums;
    }

    private List<Segment> of(int host) {
        return segments.stream().filter(segment -> segment.host() == host).toList();
    }

    /** What is for a host. */
    private interface ForHost {
        HostBuffer of(int host);
    }

    /** Each host of this column joins its share of it, the calling rank's into {@code result}. */
    private void joinShares(
            Mesh.Circle circle, OperationTag tag, HostBuffer[] theirs, Blocks shares, HostBuffer result, ReduceOp op) {
        join(circle, tag, host -> sums(theirs, shares.from(host), shares.count(host), op), result, op);
    }

    /** Sends each host of this column its sums of this host's segments, and joins those of all hosts into {@code result}. */
    private void join(Mesh.Circle circle, OperationTag tag, ForHost sums, HostBuffer result, ReduceOp op) {
        long length = result.length();
        HostBuffer[] arrived = new HostBuffer[hosts.count()];
        clear();
        for (int host = 0; host < arrived.length; host++) {
            HostBuffer out = sums.of(host);
            offers[circle.member(host)] = out;
            arrived[host] = host == hosts.home() ? out : HostBuffer.allocate(result.type(), of(host).size() * length);
            targets[circle.member(host)] = arrived[host];
        }
        mesh.exchange(circle, tag, offers, targets);
        HostBuffer[] sources = segments.stream()
                .map(segment -> arrived[segment.host()].slice(segment.index() * length, length))
                .toArray(HostBuffer[]::new);
        int[] widths = segments.stream().mapToInt(Segment::width).toArray();
        reduction.reduceSubtrees(sources, widths, result, op.kind(), divisor(op));
        reduction.finish(result);
    }

    /** Each column of {@code whole} comes to all ranks of the host. */
    private void show(OperationTag tag, HostBuffer whole, ColumnCut cut) {
        clear();
        if (across != null) {
            offerToAll(cut.column(whole, hosts.place()));
        }
        for (int column = 0; column < columns; column++) {
            targets[near.member(column)] = cut.column(whole, column);
        }
        mesh.exchange(near, tag, offers, targets);
    }

    @Override
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        if (isTooLong(send)) {
            super.reduce(tag, send, receive, op, root);
            return;
        }
        HostBuffer mine = wide(send, op);
        ColumnCut cut = ColumnCut.shares(hosts, mine.length());
        int place = hosts.place();
        int home = hosts.hostOf(root);
        HostBuffer[] theirs = columnOfHost(tag, mine, cut);
        HostBuffer whole = null;
        if (me == root) {
            whole = like(mine, receive);
        }
        HostBuffer column = null;
        if (across != null) {
            column = HostBuffer.allocate(mine.type(), cut.columns().count(place));
            Blocks parts = cut.hosts().get(place);
            HostBuffer own = block(parts, column, hosts.home());
            joinShares(across, tag, theirs, parts, own, op);
            clear();
            offers[across.member(home)] = own;
            if (hosts.home() == home) {
                for (int host = 0; host < hosts.count(); host++) {
                    targets[across.member(host)] = block(parts, column, host);
                }
            }
            mesh.exchange(across, tag, offers, targets);
        } else {
            mesh.skip(2);
        }
        clear();
        if (hosts.home() == home) {
            offers[root] = column;
        }
        for (int i = 0; whole != null && i < columns; i++) {
            targets[near.member(i)] = cut.column(whole, i);
        }
        mesh.exchange(near, tag, offers, targets);
        mesh.settle();
        if (whole != null) {
            if (column != null) {
                copy(column, cut.column(whole, place));
            }
            copy(whole.to(receive.type()), receive);
        }
    }

    @Override
    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
        if (isTooLong(send)) {
            super.reduceScatter(tag, send, receive, op, blocks);
            return;
        }
        HostBuffer mine = wide(send, op);
        ColumnCut cut = ColumnCut.carrying(hosts, blocks);
        HostBuffer packed = HostBuffer.allocate(mine.type(), mine.length());
        cut.eachBlock(packed, blocks, (rank, place) -> place.copyFrom(block(blocks, mine, rank)));
        HostBuffer[] theirs = columnOfHost(tag, packed, cut);
        HostBuffer result = like(mine, receive);
        if (across != null) {
            Blocks parts = cut.hosts().get(hosts.place());
            HostBuffer part = HostBuffer.allocate(mine.type(), parts.count(hosts.home()));
            joinShares(across, tag, theirs, parts, part, op);
            clear();
            cut.eachBlock(part, blocks, hosts.place(), hosts.home(), (rank, place) -> offers[rank] = place);
        } else {
            mesh.skip(1);
            clear();
            targets[near.member(hosts.place() % columns)] = result;
        }
        mesh.exchange(near, tag, offers, targets);
        mesh.settle();
        HostBuffer own = offers[me];
        if (own != null) {
            copy(own, result);
        }
        copy(result.to(receive.type()), receive);
    }

    @Override
    void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        ColumnCut cut = ColumnCut.carrying(hosts, blocks);
        HostBuffer packed = HostBuffer.allocate(receive.type(), receive.length());
        int place = hosts.place();
        clear();
        if (across == null) {
            offers[near.member(place % columns)] = send;
        } else {
            HostBuffer own = cut.part(packed, place, hosts.home());
            cut.eachBlock(own, blocks, place, hosts.home(), (rank, room) -> {
                targets[rank] = room;
                if (rank == me) {
                    room.copyFrom(send);
                }
            });
        }
        mesh.exchange(near, tag, offers, targets);
        if (across != null) {
            clear();
            for (int host = 0; host < hosts.count(); host++) {
                offers[across.member(host)] = cut.part(packed, place, hosts.home());
                targets[across.member(host)] = cut.part(packed, place, host);
            }
            mesh.exchange(across, tag, offers, targets);
        } else {
            mesh.skip(1);
        }
        show(tag, packed, cut);
        mesh.settle();
        cut.eachBlock(
                packed, blocks, (rank, room) -> block(blocks, receive, rank).copyFrom(room));
    }

    @Override
    void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        meet(tag);
        int place = hosts.ranks().get(hosts.hostOf(root)).indexOf(root);
        List<Integer> leaders = hosts.ranks().stream()
                .map(host -> host.get(place % host.size()))
                .toList();
        int leader = leaders.get(hosts.home());
        clear();
        if (me == leader) {
            if (me == root) {
                offerToAll(send);
            } else {
                targets[root] = receive;
            }
            mesh.exchange(mesh.circle(leaders), tag, offers, targets);
        } else {
            mesh.skip(1);
        }
        clear();
        if (me == leader) {
            offerToAll(me == root ? send : receive);
        } else {
            targets[leader] = receive;
        }
        mesh.exchange(near, tag, offers, targets);
        if (me == root) {
            copy(send, receive);
        }
        mesh.settle();
    }

    @Override
    void barrier(OperationTag tag) {
        meet(tag);
        if (across != null) {
            clear();
            mesh.exchange(across, tag, offers, targets);
        } else {
            mesh.skip(1);
        }
        meet(tag);
        mesh.settle();
    }

    /** Whether this is what fits a group: of several hosts, one of which has several ranks, and no step among too many. */
    static boolean fits(Hosts hosts, int size) {
        return hosts.count() > 1
                && hosts.count() < size
                && (size <= DIRECT_RANKS || (hosts.count() <= DIRECT_RANKS && hosts.most() <= DIRECT_RANKS));
    }
}
