package org.lockstep.cpu;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.GuardedCommunicator;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * The algorithms of the host's collectives, over any {@link Transport}.
 *
 * <p>For n ranks and S bytes of the caller's buffer, steps and bytes that each rank sends (over threads: that its peers
 * read of its arrays):
 *
 * <table>
 * <caption>Algorithms</caption>
 * <tr><td>all-reduce, S ≤ 2 KiB</td><td>1 step</td><td>(n-1) · S</td><td>all to all, each reduces everything</td></tr>
 * <tr><td>all-reduce</td><td>2 steps</td><td>2 · S · (n-1)/n</td><td>each reduces its share, then shows it</td></tr>
 * <tr><td>reduce-scatter</td><td>1 step</td><td>S · (n-1)/n</td><td>direct</td></tr>
 * <tr><td>all-gather</td><td>1 step</td><td>(n-1) · S</td><td>direct</td></tr>
 * <tr><td>broadcast</td><td>1 step</td><td>(n-1) · S at the root</td><td>flat</td></tr>
 * <tr><td>barrier</td><td>1 step</td><td>0</td><td>tags only</td></tr>
 * </table>
 *
 * <p>In every step all ranks tell all others their tags: that is how each learns of a mismatch at that very operation.
 */
final class CpuCommunicator extends GuardedCommunicator {
    private static final long ONE_STEP_BYTES = 2048;

    private final ProcessGroup group;
    private final int me;
    private final int size;
    private final Transport transport;
    private final Fate fate;
    private final ObjectCodec codec;
    private final Peers peers;
    private final Duration timeout;
    private final Reduction reduction;
    private final Scratch scratch = new Scratch();
    private final long[] sent;
    private final long[] received;
    private final AtomicBoolean spread = new AtomicBoolean();

    CpuCommunicator(
            ProcessGroup group,
            int rankInGroup,
            Transport transport,
            Fate fate,
            ObjectCodec codec,
            Peers peers,
            Duration timeout) {
        this.group = group;
        this.me = rankInGroup;
        this.size = group.size();
        this.transport = transport;
        this.fate = fate;
        this.codec = codec;
        this.peers = peers;
        this.timeout = timeout;
        this.reduction = new Reduction(size);
        this.sent = new long[size];
        this.received = new long[size];
    }

    @Override
    public ProcessGroup group() {
        return group;
    }

    @Override
    public int rankInGroup() {
        return me;
    }

    /** Waits for all peers to be there. */
    void connect(Duration limit) {
        requireAlive("connect"); // the endpoint may be closed under us, by a thread that then is in here for a moment
        if (!tryEnter()) {
            throw new IllegalStateException("nobody can use " + group + " before it is connected");
        }
        try {
            OperationTag tag = new OperationTag(0, Operation.CONNECT, null, null, 0, -1);
            carry(tag, limit, deadline -> swap(tag, peer -> null, peer -> null, deadline));
        } finally {
            leave();
        }
    }

    @Override
    protected void doAllReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        HostBuffer mine = (HostBuffer) receive;
        mine.copyFrom((HostBuffer) send);
        if (op.kind() == ReduceOp.Kind.PREMULTIPLIED_SUM) {
            mine.scale(op.factor());
        }
        carry(tag, timeout, deadline -> {
            if (mine.bytes() <= ONE_STEP_BYTES) {
                reduceAtOnce(tag, mine, op, deadline);
            } else {
                reduceByShares(tag, mine, op, deadline);
            }
            return mine;
        });
    }

    private void reduceAtOnce(OperationTag tag, HostBuffer mine, ReduceOp op, Deadline deadline) {
        int length = mine.size();
        HostBuffer room = scratch.of(mine.type(), (size + 1) * length);
        @Nullable
        HostBuffer[] views = swap(tag, peer -> mine, peer -> room.slice((long) peer * length, length), deadline);
        HostBuffer result = room.slice((long) size * length, length);
        reduction.reduce(sources(views, mine), result, op.kind());
        transport.finish(tag, deadline);
        mine.copyFrom(result);
    }

    private void reduceByShares(OperationTag tag, HostBuffer mine, ReduceOp op, Deadline deadline) {
        int share = share(mine, me).size();
        HostBuffer[] room = {mine}; // a transport that copies asks for room, the other never does
        @Nullable
        HostBuffer[] views = swap(
                tag,
                peer -> share(mine, peer),
                peer -> {
                    if (room[0] == mine) {
                        room[0] = scratch.of(mine.type(), Math.multiplyExact(size, share));
                    }
                    return room[0].slice((long) peer * share, share);
                },
                deadline);
        // Nobody else looks at a rank's own share of its own buffer, so the result may go there at once.
        HostBuffer own = share(mine, me);
        reduction.reduce(sources(views, own), own, op.kind());
        // That a peer shows its result also says that it has read our part of it, which is now overwritten.
        @Nullable HostBuffer[] results = swap(tag, peer -> own, peer -> share(mine, peer), deadline);
        copyAll(results, peer -> share(mine, peer));
        transport.finish(tag, deadline);
    }

    private HostBuffer share(HostBuffer whole, int rank) {
        return (HostBuffer) Blocks.shares(size, whole.length()).of(whole, rank);
    }

    @Override
    protected void doReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        HostBuffer result = me == root ? (HostBuffer) receive : HostBuffer.allocate(receive.type(), receive.length());
        doAllReduce(tag, send, result, op);
    }

    @Override
    protected void doAllGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        exchange(tag, peer -> send, peer -> blocks.of(receive, peer));
        blocks.of(receive, me).toHost().copyFrom(send.toHost());
    }

    @Override
    protected void doReduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        HostBuffer all = (HostBuffer) send;
        HostBuffer mine = (HostBuffer) receive;
        int length = mine.size();
        carry(tag, timeout, deadline -> {
            @Nullable
            HostBuffer[] views = swap(
                    tag,
                    peer -> (HostBuffer) blocks.of(all, peer),
                    peer -> scratch.of(all.type(), Math.multiplyExact(size, length))
                            .slice((long) peer * length, length),
                    deadline);
            reduction.reduce(sources(views, (HostBuffer) blocks.of(all, me)), mine, op.kind());
            transport.finish(tag, deadline);
            return mine;
        });
    }

    @Override
    protected void doBroadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        HostBuffer mine = (HostBuffer) receive;
        if (me == root) {
            mine.copyFrom((HostBuffer) send);
        }
        carry(tag, timeout, deadline -> {
            broadcast(tag, mine, root, deadline);
            return mine;
        });
    }

    private void broadcast(OperationTag tag, HostBuffer mine, int root, Deadline deadline) {
        @Nullable
        HostBuffer[] views = swap(tag, peer -> me == root ? mine : null, peer -> peer == root ? mine : null, deadline);
        copyAll(views, peer -> mine);
        transport.finish(tag, deadline);
    }

    @Override
    protected void doGather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        Blocks blocks = Blocks.even(size, send.length());
        exchange(tag, peer -> peer == root ? send : null, peer -> receive == null ? null : blocks.of(receive, peer));
        if (receive != null) {
            blocks.of(receive, me).toHost().copyFrom(send.toHost());
        }
    }

    @Override
    protected void doScatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        Blocks blocks = Blocks.even(size, receive.length());
        exchange(tag, peer -> send == null ? null : blocks.of(send, peer), peer -> peer == root ? receive : null);
        if (send != null) {
            receive.toHost().copyFrom(blocks.of(send, me).toHost());
        }
    }

    @Override
    protected void doAllToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        exchange(tag, peer -> sendBlocks.of(send, peer), peer -> receiveBlocks.of(receive, peer));
        receiveBlocks.of(receive, me).toHost().copyFrom(sendBlocks.of(send, me).toHost());
    }

    private void exchange(OperationTag tag, IntFunction<@Nullable Buffer> offer, IntFunction<@Nullable Buffer> target) {
        carry(tag, timeout, deadline -> {
            @Nullable
            HostBuffer[] views = swap(
                    tag, peer -> (HostBuffer) offer.apply(peer), peer -> (HostBuffer) target.apply(peer), deadline);
            for (int peer = 0; peer < size; peer++) {
                HostBuffer view = views[peer];
                HostBuffer place = peer == me ? null : (HostBuffer) target.apply(peer);
                if (view != null
                        && place != null
                        && (view.array() != place.array() || view.offset() != place.offset())) {
                    place.copyFrom(view);
                }
            }
            transport.finish(tag, deadline);
            return tag;
        });
    }

    @Override
    protected void doBarrier(OperationTag tag, Optional<Duration> limit) {
        carry(tag, limit.orElse(timeout), deadline -> swap(tag, peer -> null, peer -> null, deadline));
    }

    @Override
    protected void doTransfers(List<Transfer> transfers) {
        for (Transfer transfer : transfers) {
            if (transfer.sends()) {
                doSend(transfer.buffer(), transfer.peer());
            }
        }
        for (Transfer transfer : transfers) {
            if (!transfer.sends()) {
                doReceive(transfer.buffer(), transfer.peer());
            }
        }
    }

    private void doSend(Buffer buffer, int peer) {
        HostBuffer mine = (HostBuffer) buffer;
        OperationTag tag = transferTag(Operation.SEND, ++sent[peer], mine, peer);
        carry(tag, timeout, deadline -> {
            transport.send(tag, mine, peer, deadline);
            return mine;
        });
    }

    private void doReceive(Buffer buffer, int peer) {
        HostBuffer mine = (HostBuffer) buffer;
        OperationTag tag = transferTag(Operation.SEND, ++received[peer], mine, me);
        carry(received(tag, peer), timeout, deadline -> {
            transport.receive(tag, mine, peer, deadline);
            return mine;
        });
    }

    @Override
    protected <T> List<T> doAllGatherObject(OperationTag tag, T value, Class<T> type) {
        List<T> all = new ArrayList<>();
        for (int root = 0; root < size; root++) {
            all.add(doBroadcastObject(tag, root == me ? value : null, root, type));
        }
        return List.copyOf(all);
    }

    @Override
    protected <T> T doBroadcastObject(OperationTag tag, @Nullable T value, int root, Class<T> type) {
        HostBuffer mine = me == root && value != null ? bytes(codec.encode(value)) : bytes(new byte[0]);
        HostBuffer content = carry(tag, timeout, deadline -> {
            HostBuffer length = Buffer.ofLongs(mine.size());
            broadcast(tag, length, root, deadline);
            HostBuffer bytes = me == root ? mine : room(tag.toString(), length, root);
            OperationTag sized =
                    new OperationTag(tag.sequence(), tag.operation(), null, DataType.U8, bytes.size(), root);
            broadcast(sized, bytes, root, deadline);
            return bytes;
        });
        return codec.decode(content.byteArray(), type);
    }

    @Override
    protected void doSendObject(Object value, int peer) {
        HostBuffer bytes = bytes(codec.encode(value));
        HostBuffer length = Buffer.ofLongs(bytes.size());
        OperationTag tag = transferTag(Operation.SEND_OBJECT, ++sent[peer], length, peer);
        carry(tag, timeout, deadline -> {
            transport.send(tag, length, peer, deadline);
            transport.send(transferTag(Operation.SEND_OBJECT, tag.sequence(), bytes, peer), bytes, peer, deadline);
            return bytes;
        });
    }

    @Override
    protected <T> T doReceiveObject(int peer, Class<T> type) {
        HostBuffer length = Buffer.ofLongs(0);
        OperationTag tag = transferTag(Operation.SEND_OBJECT, ++received[peer], length, me);
        HostBuffer content = carry(received(tag, peer), timeout, deadline -> {
            transport.receive(tag, length, peer, deadline);
            HostBuffer bytes = room(received(tag, peer), length, peer);
            transport.receive(transferTag(Operation.SEND_OBJECT, tag.sequence(), bytes, me), bytes, peer, deadline);
            return bytes;
        });
        return codec.decode(content.byteArray(), type);
    }

    /** The one place where a peer says how much memory to take, so it is bounded. */
    private HostBuffer room(String operation, HostBuffer length, int peer) {
        long bytes = length.longs()[0];
        if (bytes < 1 || bytes > ObjectCodec.MAX_BYTES) {
            throw new Transport.Failed(Verdict.protocol(
                    group, me, operation, peer, "an object of " + bytes + " bytes, not 1.." + ObjectCodec.MAX_BYTES));
        }
        return bytes(new byte[(int) bytes]);
    }

    private static HostBuffer bytes(byte[] content) {
        return HostBuffer.of(DataType.U8, content);
    }

    private static OperationTag transferTag(Operation operation, long sequence, HostBuffer data, int receiver) {
        return new OperationTag(sequence, operation, null, data.type(), data.length(), receiver);
    }

    private static String received(OperationTag tag, int peer) {
        String name = tag.operation() == Operation.SEND ? "receive" : "receive_object";
        return name + " #" + tag.sequence() + " " + tag.type() + "[" + tag.count() + "] from " + peer;
    }

    private @Nullable HostBuffer[] swap(
            OperationTag tag,
            IntFunction<@Nullable HostBuffer> offer,
            IntFunction<@Nullable HostBuffer> target,
            Deadline deadline) {
        @Nullable HostBuffer[] offers = new @Nullable HostBuffer[size];
        for (int peer = 0; peer < size; peer++) {
            if (peer != me) {
                offers[peer] = offer.apply(peer);
            }
        }
        return transport.swap(tag, offers, target, deadline);
    }

    private HostBuffer[] sources(@Nullable HostBuffer[] views, HostBuffer mine) {
        HostBuffer[] sources = new HostBuffer[size];
        for (int rank = 0; rank < size; rank++) {
            HostBuffer view = rank == me ? mine : views[rank];
            if (view == null) {
                throw new IllegalStateException("rank in group " + rank + " showed nothing to reduce");
            }
            sources[rank] = view;
        }
        return sources;
    }

    private void copyAll(@Nullable HostBuffer[] views, IntFunction<HostBuffer> target) {
        for (int peer = 0; peer < size; peer++) {
            HostBuffer view = views[peer];
            HostBuffer place = target.apply(peer);
            // The same place where the transport had to copy; ranks of one JVM may hold parts of the same array.
            if (view != null && (view.array() != place.array() || view.offset() != place.offset())) {
                place.copyFrom(view);
            }
        }
    }

    /** Runs what crosses the group; a failure seals the rank's fate and speaks for the first cause. */
    private <T> T carry(Object operation, Duration limit, Function<Deadline, T> body) {
        try {
            return body.apply(Deadline.in(limit));
        } catch (Transport.Failed failed) {
            Verdict first = fate.seal(failed.verdict);
            spread();
            throw first.exception(operation.toString(), group, peers);
        } catch (RuntimeException | Error broken) {
            // Out of memory, say: the peers wait for an operation that this rank cannot complete.
            fate.seal(Verdict.aborted(group.rank(me), Verdict.groupId(group), broken));
            spread();
            throw broken;
        }
    }

    @Override
    protected void requireAlive(Object operation) {
        Verdict verdict = fate.verdict();
        if (verdict != null) {
            throw verdict.exception(operation.toString(), group, peers);
        }
    }

    @Override
    protected boolean isMine(Buffer buffer) {
        return buffer instanceof HostBuffer;
    }

    @Override
    protected void doClose() {
        transport.close();
        scratch.clear();
    }

    @Override
    protected void doAbort(Throwable cause) {
        fate.seal(Verdict.aborted(group.rank(me), Verdict.groupId(group), cause));
    }

    /** Tells the peers the rank's verdict: here and now if nobody is inside, else through the thread that is. */
    void spread() {
        Verdict verdict = fate.verdict();
        if (verdict == null || spread.get()) {
            return;
        }
        if (isInside()) {
            spread.set(true);
            transport.abort(verdict);
        } else if (tryEnter()) {
            try {
                spread.set(true);
                transport.abort(verdict);
            } finally {
                leave();
            }
        } else {
            transport.wake();
        }
    }

    /** A verdict may have come between the last look of the operation that ends here and now. */
    @Override
    protected void onLeave() {
        spread();
    }
}
