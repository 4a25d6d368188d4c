package org.lockstep.cpu;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.cpu.Hosts.Segment;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * The algorithms of groups over several hosts that {@link LayeredCollectives} does not know: of unequal numbers of ranks, but at
 * most twice as many on one host as on another, or of numbers whose sums are no subtrees of the sum of all, or that do not follow
 * each other. At most {@value #LAYER_RANKS} ranks on a host, and as many hosts.
 *
 * <p>As many {@linkplain Hosts columns} cross as the smallest host has ranks. A host cannot add all that its ranks have, for
 * elements are added in one order wherever ranks are: it adds its {@linkplain Segment segments}, and those cross. For k hosts
 * with g segments in all and S bytes, steps, and bytes over the network of all ranks together:
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, where a rank sends at most 16 KiB so</td><td>3 steps</td><td>(k-1) · g · S</td><td>segments, joined on every host, shown in it</td></tr>
 * <tr><td>all-reduce</td><td>4 steps</td><td>(k-1)/k · (g + k) · S</td><td>segments, joined in shares, shown across, then in the host</td></tr>
 * <tr><td>reduce</td><td>4 steps</td><td>(k-1)/k · (g + 1) · S</td><td>segments, joined in shares, collected on the root's host</td></tr>
 * <tr><td>reduce-scatter</td><td>3 steps</td><td>(k-1)/k · g · S where all have alike</td><td>segments, joined on the host of whose block it is</td></tr>
 * <tr><td>all-gather</td><td>3 steps</td><td>(k-1) · S</td><td>across, then shown in the host</td></tr>
 * <tr><td>broadcast</td><td>3 steps</td><td>(k-1) · S</td><td>to a column, across, then in the host</td></tr>
 * <tr><td>barrier</td><td>3 steps</td><td>0</td><td>tags only</td></tr>
 * </table>
 *
 * <p>16-bit elements cross as f32, as there. These operations begin and end inside the host, and all columns cross in each, so
 * that every rank waits for all, and hears of a mismatch in that operation. Reductions go piece by piece of {@value #PIECE_BYTES}
 * bytes and take room for some six of those on the ranks of columns; an all-gather takes room for as much as it receives.
 */
final class UnevenCollectives extends HostwiseCollectives {
    private static final int PIECE_BYTES = 16 << 20;

    private final int columns;
    private final List<Segment> segments;
    private final List<Segment> homeSegments;
    private final int[] widths; // of all segments
    private final int[] counts; // of segments, by host
    private final Mesh.@Nullable Circle across; // of who is in a column

    UnevenCollectives(Mesh mesh, int rankInGroup, int size, Hosts hosts) {
        super(mesh, rankInGroup, size, hosts);
        this.columns = hosts.columns();
        this.segments = hosts.segments();
        this.homeSegments = segments.stream()
                .filter(segment -> segment.host() == hosts.home())
                .toList();
        this.widths = segments.stream().mapToInt(Segment::width).toArray();
        this.counts = new int[hosts.count()];
        segments.forEach(segment -> counts[segment.host()]++);
        this.across = hosts.isInColumn() ? mesh.circle(hosts.column(hosts.place())) : null;
    }

    /** Something to do with some elements of a buffer. */
    private interface OfPiece {
        void by(long from, long count);
    }

    /** Goes through {@code length} elements, of {@code ranks} such buffers, at least once. */
    private static void eachPiece(HostBuffer data, long length, int ranks, OfPiece body) {
        long most = Math.max(1, PIECE_BYTES / ranks / data.type().bytes());
        long from = 0;
        do {
            body.by(from, Math.min(most, length - from));
            from += most;
        } while (from < length);
    }

    @Override
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        eachPiece(
                send,
                send.length(),
                1,
                (from, count) -> allReducePiece(tag, send.slice(from, count), receive.slice(from, count), op));
    }

    private void allReducePiece(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op) {
        HostBuffer mine = wide(send, op);
        HostBuffer result = like(mine, receive);
        ColumnCut cut = ColumnCut.shares(hosts, mine.length());
        int place = hosts.place();
        boolean atOnce = isSmall(mine);
        HostBuffer[] theirs = columnOfHost(tag, mine, cut);
        if (across == null) {
            mesh.later(atOnce ? 1 : 2);
        } else if (atOnce) {
            HostBuffer column = cut.column(result, place);
            HostBuffer sums = sums(theirs, 0, column.length(), op);
            join(across, tag, host -> sums, column, op);
        } else {
            HostBuffer share = cut.part(result, place, hosts.home());
            joinShares(across, tag, theirs, cut.hosts().get(place), share, op);
            show(across, tag, cut.hosts().get(place), cut.column(result, place), hosts.home());
        }
        show(near, tag, cut.columns(), result, place);
        settle();
        copy(result.to(receive.type()), receive);
    }

    /** Whether it costs less to join the sums of all hosts on each than to take another step. */
    private boolean isSmall(HostBuffer data) {
        long most = Arrays.stream(counts).max().orElseThrow();
        return isOneStep((hosts.count() - 1) * most * data.bytes() / columns);
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
        HostBuffer sums = HostBuffer.allocate(theirs[me].type(), homeSegments.size() * length);
        for (Segment segment : homeSegments) {
            HostBuffer[] sources = IntStream.range(segment.first(), segment.first() + segment.width())
                    .mapToObj(rank -> theirs[rank].slice(from, length))
                    .toArray(HostBuffer[]::new);
            HostBuffer sum = sums.slice(segment.index() * length, length);
            reduction.reduce(sources, new int[sources.length], sum, 0, sum.size(), op.kind(), 1);
        }
        return sums;
    }

    /** What is for a host. */
    private interface ForHost {
        HostBuffer of(int host);
    }

    /** Each host of this column joins its share of it, this one into {@code result}. */
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
            arrived[host] = host == hosts.home() ? out : HostBuffer.allocate(result.type(), counts[host] * length);
            targets[circle.member(host)] = arrived[host];
        }
        mesh.exchange(circle, tag, offers, targets);
        HostBuffer[] sources = segments.stream()
                .map(segment -> arrived[segment.host()].slice(segment.index() * length, length))
                .toArray(HostBuffer[]::new);
        reduction.reduceSubtrees(sources, widths, result, op.kind(), divisor(op));
        reduction.finish(result);
    }

    @Override
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, int root) {
        eachPiece(
                send,
                send.length(),
                1,
                (from, count) -> reducePiece(
                        tag, send.slice(from, count), me == root ? receive.slice(from, count) : null, op, root));
    }

    /** @param receive null but on the root */
    private void reducePiece(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, ReduceOp op, int root) {
        HostBuffer mine = wide(send, op);
        ColumnCut cut = ColumnCut.shares(hosts, mine.length());
        int place = hosts.place();
        int home = hosts.hostOf(root);
        HostBuffer[] theirs = columnOfHost(tag, mine, cut);
        HostBuffer column = null;
        if (across != null) {
            column = HostBuffer.allocate(mine.type(), cut.columns().count(place));
            Blocks parts = cut.hosts().get(place);
            HostBuffer share = block(parts, column, hosts.home());
            joinShares(across, tag, theirs, parts, share, op);
            clear();
            offers[across.member(home)] = share;
            if (hosts.home() == home) {
                for (int host = 0; host < hosts.count(); host++) {
                    targets[across.member(host)] = block(parts, column, host);
                }
            }
            mesh.exchange(across, tag, offers, targets);
        } else {
            mesh.later(2);
        }
        clear();
        if (hosts.home() == home) {
            offers[root] = column;
        }
        HostBuffer whole = receive == null ? null : like(mine, receive);
        for (int i = 0; whole != null && i < columns; i++) {
            targets[near.member(i)] = cut.column(whole, i);
        }
        mesh.exchange(near, tag, offers, targets);
        settle();
        if (whole != null && receive != null) {
            if (column != null) {
                copy(column, cut.column(whole, place));
            }
            copy(whole.to(receive.type()), receive);
        }
    }

    @Override
    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
        long longest = IntStream.range(0, size).mapToLong(blocks::count).max().orElseThrow();
        eachPiece(send, longest, size, (from, count) -> {
            long[] counts = new long[size];
            Arrays.setAll(counts, rank -> Math.max(0, Math.min(count, blocks.count(rank) - from)));
            Blocks part = Blocks.of(counts);
            HostBuffer some = HostBuffer.allocate(send.type(), part.total());
            for (int rank = 0; rank < size; rank++) {
                if (counts[rank] > 0) {
                    block(part, some, rank).copyFrom(send.slice(blocks.from(rank) + from, counts[rank]));
                }
            }
            HostBuffer place = counts[me] > 0 ? receive.slice(from, counts[me]) : receive.slice(0, 0);
            reduceScatterPiece(tag, some, place, op, part);
        });
    }

    private void reduceScatterPiece(OperationTag tag, HostBuffer send, HostBuffer receive, ReduceOp op, Blocks blocks) {
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
            copy(Objects.requireNonNull(offers[me]), result);
        } else {
            mesh.later(1);
            clear();
            targets[near.member(hosts.place() % columns)] = result;
        }
        mesh.exchange(near, tag, offers, targets);
        settle();
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
            cut.eachBlock(cut.part(packed, place, hosts.home()), blocks, place, hosts.home(), (rank, room) -> {
                targets[rank] = room;
                if (rank == me) {
                    room.copyFrom(send);
                }
            });
        }
        mesh.exchange(near, tag, offers, targets);
        if (across != null) {
            show(across, tag, cut.hosts().get(place), cut.column(packed, place), hosts.home());
        } else {
            mesh.later(1);
        }
        show(near, tag, cut.columns(), packed, place);
        settle();
        cut.eachBlock(
                packed, blocks, (rank, room) -> block(blocks, receive, rank).copyFrom(room));
    }

    @Override
    void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        int home = hosts.hostOf(root);
        int column = hosts.ranks().get(home).indexOf(root) % columns;
        int carrier = near.member(column); // on this host
        boolean atHome = hosts.home() == home;
        clear();
        if (me == root) {
            offers[carrier] = send;
        } else if (me == carrier && atHome) {
            targets[root] = receive;
        }
        mesh.exchange(near, tag, offers, targets);
        HostBuffer data = me == root ? send : receive;
        clear();
        if (across != null) {
            if (me == carrier && atHome) {
                offerToAll(data);
            } else if (me == carrier) {
                targets[across.member(home)] = receive;
            }
            mesh.exchange(across, tag, offers, targets);
        } else {
            mesh.later(1);
        }
        clear();
        if (me == carrier) {
            offerToAll(data);
            if (atHome) {
                offers[root] = null; // it has it
            }
        } else if (me != root) {
            targets[carrier] = receive;
        }
        mesh.exchange(near, tag, offers, targets);
        settle();
        if (me == root) {
            copy(send, receive);
        }
    }

    @Override
    void barrier(OperationTag tag) {
        clear();
        mesh.exchange(near, tag, offers, targets);
        if (across != null) {
            mesh.exchange(across, tag, offers, targets);
        } else {
            mesh.later(1);
        }
        mesh.exchange(near, tag, offers, targets);
        settle();
    }
}
