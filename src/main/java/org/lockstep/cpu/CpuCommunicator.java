package org.lockstep.cpu;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.GuardedCommunicator;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Failed;
import org.lockstep.transport.Fate;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Mesh.Letter;
import org.lockstep.transport.Peers;
import org.lockstep.transport.Verdict;

/**
 * A live group of host memory: the algorithms of {@link Collectives}, the objects, and the life of the group around them. It is
 * that of a device's buffers too, where something else carries those.
 */
final class CpuCommunicator extends GuardedCommunicator {
    /** How long the others are waited for where an operation on a device failed. */
    private static final Duration ASKING = Duration.ofSeconds(5);

    private final ProcessGroup group;
    private final int me;
    private final Mesh mesh;
    private final Collectives collectives;
    private final Carrier host;
    private volatile Carrier device; // the host's where there is none
    private final Fate fate;
    private final ObjectCodec codec;
    private final Peers peers;
    private final Duration timeout;
    private final Vicinity vicinity;
    private final long[] sent;
    private final long[] received;
    private final AtomicBoolean ended = new AtomicBoolean(); // by the thread that is inside
    private final Runnable onSeal = this::spread;

    CpuCommunicator(
            ProcessGroup group,
            int rankInGroup,
            Mesh mesh,
            Vicinity vicinity,
            Fate fate,
            ObjectCodec codec,
            Peers peers,
            Duration timeout) {
        this.group = group;
        this.me = rankInGroup;
        this.mesh = mesh;
        this.collectives = Collectives.of(mesh, rankInGroup, vicinity.hosts());
        this.host = new HostCarrier(mesh, collectives);
        this.device = host;
        this.fate = fate;
        this.codec = codec;
        this.peers = peers;
        this.timeout = timeout;
        this.vicinity = vicinity;
        this.sent = new long[group.size()];
        this.received = new long[group.size()];
        fate.listen(onSeal);
    }

    @Override
    public ProcessGroup group() {
        return group;
    }

    @Override
    protected Duration limit() {
        return timeout;
    }

    @Override
    public int rankInGroup() {
        return me;
    }

    /** Lets buffers of a device travel too, from now on: a step of all ranks of the group, before any operation. */
    void attach(Carriers devices, Duration limit) {
        OperationTag tag = new OperationTag(0, Operation.CONNECT, null, null, 0, -1);
        if (!tryEnter()) {
            throw new IllegalStateException("operations of " + group + " before it was connected");
        }
        try {
            carry(tag, limit, () -> {
                device = devices.connect(group, me, host, new Life(), tag);
            });
        } finally {
            leave();
        }
    }

    @Override
    protected void carry(OperationTag tag, Buffer buffer, Consumer<? super Carrier> operation) {
        Carrier carrier = carrier(buffer);
        carry(tag, timeout, () -> operation.accept(carrier));
    }

    private Carrier carrier(Buffer buffer) {
        return host.carries(buffer) ? host : device;
    }

    @Override
    protected void doBarrier(OperationTag tag, Optional<Duration> limit) {
        carry(tag, limit.orElse(timeout), () -> collectives.barrier(tag));
    }

    /** Those of host memory first, then those of the device: either are all at once. */
    @Override
    protected void doTransfers(List<Transfer> transfers) {
        List<OperationTag> tags = transfers.stream().map(this::tag).toList();
        for (Carrier carrier : device == host ? List.of(host) : List.of(host, device)) {
            transferBy(carrier, tags, transfers);
        }
    }

    /** Those of its memory, if there are any. */
    private void transferBy(Carrier carrier, List<OperationTag> tags, List<Transfer> transfers) {
        List<OperationTag> names = new ArrayList<>();
        List<Transfer> together = new ArrayList<>();
        for (int i = 0; i < tags.size(); i++) {
            if (carrier.carries(transfers.get(i).buffer())) {
                names.add(tags.get(i));
                together.add(transfers.get(i));
            }
        }
        if (!together.isEmpty()) {
            Transfer first = together.get(0);
            Object called = first.sends() ? names.get(0) : new Expected(names.get(0), first.peer());
            carry(called, timeout, () -> carrier.transfer(names, together));
        }
    }

    private OperationTag tag(Transfer transfer) {
        Buffer data = transfer.buffer();
        int peer = transfer.peer();
        return transfer.sends()
                ? transferTag(Operation.SEND, ++sent[peer], data, peer)
                : transferTag(Operation.SEND, ++received[peer], data, me);
    }

    @Override
    protected <T> T doBroadcastObject(OperationTag tag, @Nullable T value, int root, Class<T> type) {
        HostBuffer mine = bytes(me == root && value != null ? codec.encode(value) : new byte[0]);
        return codec.decode(carry(tag, timeout, () -> shared(tag, mine, root)).byteArray(), type);
    }

    /** The root's bytes, after their number, on every rank. */
    private HostBuffer shared(OperationTag tag, HostBuffer mine, int root) {
        HostBuffer length = Buffer.ofLongs(mine.size());
        collectives.broadcast(tag, length, length, root);
        HostBuffer bytes = me == root ? mine : room(tag, length, root);
        OperationTag sized = new OperationTag(tag.sequence(), tag.operation(), null, DataType.U8, bytes.size(), root);
        collectives.broadcast(sized, bytes, bytes, root);
        return bytes;
    }

    @Override
    protected <T> List<T> doAllGatherObject(OperationTag tag, T value, Class<T> type) {
        HostBuffer mine = bytes(codec.encode(value));
        HostBuffer lengths = HostBuffer.allocate(DataType.I64, group.size());
        HostBuffer all = carry(tag, timeout, () -> {
            collectives.allGather(tag, Buffer.ofLongs(mine.size()), lengths, Blocks.even(group.size(), 1));
            for (int rank = 0; rank < group.size(); rank++) {
                requireLength(tag, lengths.longs()[rank], rank);
            }
            Blocks blocks = Blocks.of(lengths.longs());
            HostBuffer bytes = HostBuffer.allocate(DataType.U8, blocks.total());
            OperationTag sized =
                    new OperationTag(tag.sequence(), tag.operation(), null, DataType.U8, blocks.total(), -1);
            collectives.allGather(sized, mine, bytes, blocks);
            return bytes;
        });
        Blocks blocks = Blocks.of(lengths.longs());
        List<T> values = new ArrayList<>();
        for (int rank = 0; rank < group.size(); rank++) {
            int from = (int) blocks.from(rank);
            values.add(codec.decode(Arrays.copyOfRange(all.byteArray(), from, from + (int) blocks.count(rank)), type));
        }
        return List.copyOf(values);
    }

    @Override
    protected void doSendObject(Object value, int peer) {
        HostBuffer bytes = bytes(codec.encode(value));
        HostBuffer length = Buffer.ofLongs(bytes.size());
        long number = ++sent[peer];
        List<Letter> letters = List.of(
                new Letter(transferTag(Operation.SEND_OBJECT, number, length, peer), length, peer),
                new Letter(transferTag(Operation.SEND_OBJECT, number, bytes, peer), bytes, peer));
        carry(letters.get(0).tag(), timeout, () -> mesh.transfer(letters, List.of()));
    }

    @Override
    protected <T> T doReceiveObject(int peer, Class<T> type) {
        HostBuffer length = Buffer.ofLongs(0);
        long number = ++received[peer];
        Letter first = new Letter(transferTag(Operation.SEND_OBJECT, number, length, me), length, peer);
        HostBuffer content = carry(new Expected(first.tag(), peer), timeout, () -> {
            mesh.transfer(List.of(), List.of(first));
            HostBuffer bytes = room(first.tag(), length, peer);
            OperationTag tag = transferTag(Operation.SEND_OBJECT, number, bytes, me);
            mesh.transfer(List.of(), List.of(new Letter(tag, bytes, peer)));
            return bytes;
        });
        return codec.decode(content.byteArray(), type);
    }

    private HostBuffer room(OperationTag tag, HostBuffer length, int peer) {
        return bytes(new byte[(int) requireLength(tag, length.longs()[0], peer)]);
    }

    /** The one place where a peer says how much memory to take, so it is bounded. */
    private long requireLength(OperationTag tag, long bytes, int peer) {
        if (bytes < 1 || bytes > ObjectCodec.MAX_BYTES) {
            throw new Failed(Verdict.protocol(
                    group,
                    me,
                    tag.toString(),
                    peer,
                    "an object of " + bytes + " bytes, not 1.." + ObjectCodec.MAX_BYTES));
        }
        return bytes;
    }

    private static HostBuffer bytes(byte[] content) {
        return HostBuffer.of(DataType.U8, content);
    }

    private static OperationTag transferTag(Operation operation, long sequence, Buffer data, int receiver) {
        return new OperationTag(sequence, operation, null, data.type(), data.length(), receiver);
    }

    private void carry(Object operation, Duration limit, Runnable body) {
        carry(operation, limit, () -> {
            body.run();
            return operation;
        });
    }

    /** Runs what crosses the group; a failure seals the fate of this JVM's ranks and speaks for the first cause. */
    private <T> T carry(Object operation, Duration limit, Supplier<T> body) {
        try {
            mesh.begin(operation, limit);
            return body.get();
        } catch (Failed failed) {
            Verdict first = fate.seal(failed.verdict());
            spread();
            throw first.exception(operation.toString(), group, peers);
        } catch (RuntimeException | Error broken) { // out of memory, say, while the peers wait
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
        return carrier(buffer).carries(buffer);
    }

    @Override
    protected boolean reaches(@Nullable Buffer buffer, int peer) {
        return vicinity.reaches(peer) || (buffer != null && !host.carries(buffer));
    }

    @Override
    protected boolean isWhole(Buffer buffer) {
        return vicinity.isWhole() || !host.carries(buffer);
    }

    @Override
    protected List<OperationTag> underWay() {
        return device.underWay();
    }

    @Override
    public boolean isRecordable() {
        return device.isRecordable();
    }

    /** What a carrier finds after its call has returned. */
    private final class Life implements Carriers.Life {
        @Override
        public void requireAlive(Object operation) {
            CpuCommunicator.this.requireAlive(operation);
        }

        @Override
        public CommunicatorException fail(OperationTag tag, Throwable failure, boolean agree) {
            Verdict own = Verdict.found(group, me, failure);
            Verdict first = fate.seal(agree && fate.verdict() == null ? asked(tag, own) : own);
            spread();
            return first.exception(tag.toString(), group, peers);
        }
    }

    /** What the ranks find when each says what it is in: who calls something else, or does not come; else {@code own}. */
    private Verdict asked(OperationTag tag, Verdict own) {
        boolean inside = isInside();
        if (!inside && !tryEnter()) {
            return own;
        }
        try {
            mesh.begin(tag, timeout.compareTo(ASKING) < 0 ? timeout : ASKING);
            collectives.barrier(tag);
            return own;
        } catch (Failed failed) {
            Verdict said = failed.verdict(); // ranks that lost one may be at different operations by then
            return said.code() == ErrorCode.COLLECTIVE_MISMATCH && own.code() == ErrorCode.PEER_LOST ? own : said;
        } finally {
            if (!inside) {
                leave();
            }
        }
    }

    @Override
    protected void doClose() {
        fate.forget(onSeal);
        if (fate.verdict() == null) {
            device.close();
        }
        end(fate.verdict());
    }

    /** Frees the mesh, once; only who is inside may, for others would take the memory from under the one who is. */
    private void end(@Nullable Verdict verdict) {
        if (ended.compareAndSet(false, true)) {
            if (verdict == null) {
                mesh.close();
            } else {
                mesh.abort(verdict);
                device.abort();
            }
        }
    }

    @Override
    protected void doAbort(Throwable cause) {
        fate.seal(Verdict.aborted(group.rank(me), Verdict.groupId(group), cause));
    }

    /**
     * Tells the peers the verdict: here and now if nobody is inside, else through the thread that is. Also after a close
     * that found one inside.
     */
    private void spread() {
        Verdict verdict = fate.verdict();
        if (verdict == null || ended.get()) {
            return;
        }
        if (isInside()) {
            end(verdict);
        } else if (tryEnter()) {
            try {
                end(verdict);
            } finally {
                leave();
            }
        } else {
            mesh.wake();
        }
    }

    /** A verdict may have come between the last look of the operation that ends here and now. */
    @Override
    protected void onLeave() {
        if (fate.verdict() != null) {
            spread();
        }
    }
}
