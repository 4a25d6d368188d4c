package org.lockstep.cli.bench;

import java.util.function.IntToDoubleFunction;
import org.lockstep.cli.bench.Exchange.Content;
import org.lockstep.cli.bench.Exchange.Loop;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Kernels;

/**
 * Makes the exchanges of one rank, all in the same two buffers of its device. Confined to the rank's thread.
 */
final class Exchanges {
    private final Communicator group;
    private final BenchPlan plan;
    private final int ranks;
    private final int me;
    private final Buffer sending;
    private final Buffer receiving;

    Exchanges(Communicator group, Kernels kernels, BenchPlan plan) {
        this.group = group;
        this.plan = plan;
        this.ranks = group.size();
        this.me = group.rankInGroup();
        int room = plan.cases().stream()
                .mapToInt(each -> each.count(plan.type(), ranks))
                .filter(count -> count > 0)
                .max()
                .orElse(1);
        this.sending = kernels.zeros(plan.type(), room).buffer();
        this.receiving = kernels.zeros(plan.type(), room).buffer();
    }

    /** The exchange of a case; its buffers are those of every other one. */
    Exchange of(Case each) {
        DataType type = plan.type();
        int count = each.count(type, ranks);
        boolean inPlace = each.inPlace();
        Blocks even = Blocks.even(ranks, count / ranks);
        return switch (each.operation()) {
            case ALL_REDUCE -> allReduce(count, inPlace);
            case REDUCE -> reduce(count, inPlace);
            case BROADCAST -> broadcast(count, inPlace);
            case ALL_GATHER -> allGather(even, inPlace, false);
            case ALL_GATHER_V -> allGather(Blocks.of(uneven(count, 0)), inPlace, true);
            case REDUCE_SCATTER -> reduceScatter(even, inPlace, false);
            case REDUCE_SCATTER_V -> reduceScatter(Blocks.of(uneven(count, 0)), inPlace, true);
            case GATHER -> gather(even, inPlace);
            case SCATTER -> scatter(even, inPlace);
            case ALL_TO_ALL -> allToAll(count);
            case ALL_TO_ALL_V -> allToAllV(count);
            case PING_PONG -> pingPong(count);
            case BARRIER -> barrier();
        };
    }

    /**
     * Counts that share {@code total} as 1, 2, 3, … would, turned by {@code turn}: of the ranks of a square of them rows
     * and columns are equal, so all ranks send and receive alike.
     */
    private long[] uneven(int total, int turn) {
        long[] counts = new long[ranks];
        long weights = ranks * (ranks + 1L) / 2;
        long left = total;
        for (int i = 0; i < ranks; i++) {
            long count = i == ranks - 1 ? left : total * (i + 1L) / weights;
            counts[Math.floorMod(i - turn, ranks)] = count;
            left -= count;
        }
        return counts;
    }

    private Exchange allReduce(int count, boolean inPlace) {
        Buffer receive = receiving.slice(0, count);
        Buffer send = inPlace ? receive : sending.slice(0, count);
        ReduceOp op = plan.reduceOp();
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.allReduce(send, receive, op);
            }
        };
        return reduction(loop, send, new Content(receive, sample()::reduced), inPlace);
    }

    private Exchange reduce(int count, boolean inPlace) {
        Buffer receive = receiving.slice(0, count);
        Buffer send = inPlace ? receive : sending.slice(0, count);
        ReduceOp op = plan.reduceOp();
        int root = plan.root();
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.reduce(send, receive, op, root);
            }
        };
        return reduction(loop, send, me == root ? new Content(receive, sample()::reduced) : Content.none(), inPlace);
    }

    private Exchange reduceScatter(Blocks blocks, boolean inPlace, boolean uneven) {
        Buffer send = sending.slice(0, blocks.total());
        int from = (int) blocks.from(me);
        Buffer receive = inPlace ? send.slice(from, blocks.count(me)) : receiving.slice(0, blocks.count(me));
        ReduceOp op = plan.reduceOp();
        long[] counts = counts(blocks);
        Loop loop = uneven
                ? calls -> {
                    for (int i = 0; i < calls; i++) {
                        group.reduceScatterV(send, receive, op, counts);
                    }
                }
                : calls -> {
                    for (int i = 0; i < calls; i++) {
                        group.reduceScatter(send, receive, op);
                    }
                };
        Sample sample = sample();
        return reduction(loop, send, new Content(receive, index -> sample.reduced(from + index)), inPlace);
    }

    private Exchange reduction(Loop loop, Buffer send, Content output, boolean inPlace) {
        Sample sample = sample();
        boolean settles = plan.kind() == ReduceOp.Kind.MIN || plan.kind() == ReduceOp.Kind.MAX;
        return new Exchange(loop, new Content(send, index -> sample.term(me, index)), output, !inPlace || settles);
    }

    private Exchange broadcast(int count, boolean inPlace) {
        Buffer receive = receiving.slice(0, count);
        Buffer send = inPlace ? receive : sending.slice(0, count);
        int root = plan.root();
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.broadcast(send, receive, root);
            }
        };
        IntToDoubleFunction elements = index -> Sample.plain(root, index);
        return new Exchange(
                loop, me == root ? new Content(send, elements) : Content.none(), new Content(receive, elements), true);
    }

    private Exchange allGather(Blocks blocks, boolean inPlace, boolean uneven) {
        Buffer receive = receiving.slice(0, blocks.total());
        Buffer send = ownBlock(blocks, inPlace, receive, sending);
        long[] counts = counts(blocks);
        Loop loop = uneven
                ? calls -> {
                    for (int i = 0; i < calls; i++) {
                        group.allGatherV(send, receive, counts);
                    }
                }
                : calls -> {
                    for (int i = 0; i < calls; i++) {
                        group.allGather(send, receive);
                    }
                };
        return new Exchange(loop, plain(send), gathered(receive, blocks), true);
    }

    private Exchange gather(Blocks blocks, boolean inPlace) {
        int root = plan.root();
        Buffer receive = receiving.slice(0, blocks.total());
        Buffer send = ownBlock(blocks, inPlace && me == root, receive, sending);
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.gather(send, receive, root);
            }
        };
        return new Exchange(loop, plain(send), me == root ? gathered(receive, blocks) : Content.none(), true);
    }

    private Exchange scatter(Blocks blocks, boolean inPlace) {
        int root = plan.root();
        Buffer send = sending.slice(0, blocks.total());
        Buffer receive = ownBlock(blocks, inPlace && me == root, send, receiving);
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.scatter(send, receive, root);
            }
        };
        int from = (int) blocks.from(me);
        return new Exchange(
                loop,
                me == root ? plain(send) : Content.none(),
                new Content(receive, index -> Sample.plain(root, from + index)),
                true);
    }

    private Buffer ownBlock(Blocks blocks, boolean inPlace, Buffer whole, Buffer apart) {
        return inPlace ? whole.slice(blocks.from(me), blocks.count(me)) : apart.slice(0, blocks.count(me));
    }

    private Content plain(Buffer send) {
        return new Content(send, index -> Sample.plain(me, index));
    }

    private static Content gathered(Buffer receive, Blocks blocks) {
        return new Content(receive, index -> {
            int rank = rankOf(blocks, index);
            return Sample.plain(rank, index - (int) blocks.from(rank));
        });
    }

    private Exchange allToAll(int count) {
        Buffer send = sending.slice(0, count);
        Buffer receive = receiving.slice(0, count);
        int each = count / ranks;
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.allToAll(send, receive);
            }
        };
        return new Exchange(
                loop,
                plain(send),
                new Content(receive, index -> Sample.plain(index / each, me * each + index % each)),
                true);
    }

    private Exchange allToAllV(int count) {
        Buffer send = sending.slice(0, count);
        Buffer receive = receiving.slice(0, count);
        long[] counts =
                uneven(count, me); // that rank i sends to rank j depends on i + j: what they receive is the same
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.allToAllV(send, counts, receive, counts);
            }
        };
        Blocks received = Blocks.of(counts);
        int[] starts = new int[ranks];
        for (int rank = 0; rank < ranks; rank++) {
            starts[rank] = (int) Blocks.of(uneven(count, rank)).from(me);
        }
        return new Exchange(
                loop,
                plain(send),
                new Content(receive, index -> {
                    int rank = rankOf(received, index);
                    return Sample.plain(rank, starts[rank] + index - (int) received.from(rank));
                }),
                true);
    }

    private Exchange pingPong(int count) {
        Buffer send = sending.slice(0, count);
        Buffer receive = receiving.slice(0, count);
        int last = ranks - 1;
        if (me != 0 && me != last) {
            return new Exchange(calls -> {}, Content.none(), Content.none(), true);
        }
        int peer = last - me;
        Loop loop = me == 0
                ? calls -> {
                    for (int i = 0; i < calls; i++) {
                        group.send(send, peer);
                        group.receive(receive, peer);
                    }
                }
                : calls -> {
                    for (int i = 0; i < calls; i++) {
                        group.receive(receive, peer);
                        group.send(send, peer);
                    }
                };
        return new Exchange(loop, plain(send), new Content(receive, index -> Sample.plain(peer, index)), true);
    }

    private Exchange barrier() {
        Loop loop = calls -> {
            for (int i = 0; i < calls; i++) {
                group.barrier();
            }
        };
        return new Exchange(loop, Content.none(), Content.none(), true);
    }

    private Sample sample() {
        return new Sample(plan.kind(), ranks, plan.type());
    }

    private static long[] counts(Blocks blocks) {
        long[] counts = new long[blocks.ranks()];
        for (int rank = 0; rank < counts.length; rank++) {
            counts[rank] = blocks.count(rank);
        }
        return counts;
    }

    private static int rankOf(Blocks blocks, int index) {
        int rank = 0;
        while (index >= blocks.from(rank) + blocks.count(rank)) {
            rank++;
        }
        return rank;
    }
}
