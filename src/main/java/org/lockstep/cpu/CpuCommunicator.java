package org.lockstep.cpu;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongFunction;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Expected;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.GuardedCommunicator;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.collective.OperationTerms;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Failed;
import org.lockstep.transport.Fate;
import org.lockstep.transport.Mesh;
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
    private final Parcels parcels;
    private final Peers peers;
    private final long[] sent;
    private final long[] received;
    private volatile @Nullable Verdict found; // by a carrier, while the ranks are asked what they know of it
    private final AtomicBoolean ended = new AtomicBoolean(); // by the thread that is inside
    private final Runnable onSeal = this::spread;
    private final LongFunction<Duration> extension = this::extend;

    CpuCommunicator(
            ProcessGroup group,
            int rankInGroup,
            Mesh mesh,
            int[] hosts,
            Fate fate,
            ObjectCodec codec,
            Peers peers,
            OperationTerms terms) {
        super(terms);
        this.group = group;
        this.me = rankInGroup;
        this.mesh = mesh;
        this.collectives = Collectives.of(mesh, hosts);
        this.host = new HostCarrier(mesh, collectives);
        this.device = host;
        this.fate = fate;
        this.codec = codec;
        this.parcels = new Parcels(mesh, collectives);
        this.peers = peers;
        this.sent = new long[group.size()];
        this.received = new long[group.size()];
        fate.listen(onSeal);
    }

    @Override
    public ProcessGroup group() {
        return group;
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
    protected void carry(OperationTag tag, Duration limit, Buffer data, Step step) {
        Carrier carrier = carrier(data);
        carryBy(carrier, tag, limit, () -> step.by(carrier, tag));
    }

    private void carryBy(Carrier carrier, Object operation, Duration limit, Runnable body) {
        carry(operation, limit, () -> {
            carrier.begin(limit);
            body.run();
        });
    }

    private Carrier carrier(Buffer buffer) {
        return host.carries(buffer) ? host : device;
    }

    @Override
    protected void doBarrier(OperationTag tag, Duration limit) {
        carry(tag, limit, () -> collectives.barrier(tag));
    }

    /** Those of host memory first, then those of the device: either are all at once. */
    @Override
    protected void doTransfers(Duration limit, List<Transfer> transfers) {
        if (transfers.size() == 1) { // mostly: a message of a few bytes is to cost no lists
            Transfer transfer = transfers.get(0);
            OperationTag tag = tag(transfer);
            Carrier carrier = carrier(transfer.buffer());
            carryBy(carrier, transfer.called(tag), limit, () -> carrier.transfer(List.of(tag), transfers));
            return;
        }
        List<OperationTag> tags = transfers.stream().map(this::tag).toList();
        for (Carrier carrier : device == host ? List.of(host) : List.of(host, device)) {
            transferBy(carrier, limit, tags, transfers);
        }
    }

    /** Those of its memory, if there are any. */
    private void transferBy(Carrier carrier, Duration limit, List<OperationTag> tags, List<Transfer> transfers) {
        List<OperationTag> names = new ArrayList<>();
        List<Transfer> together = new ArrayList<>();
        for (int i = 0; i < tags.size(); i++) {
            if (carrier.carries(transfers.get(i).buffer())) {
                names.add(tags.get(i));
                together.add(transfers.get(i));
            }
        }
        if (!together.isEmpty()) {
            carryBy(carrier, together.get(0).called(names.get(0)), limit, () -> carrier.transfer(names, together));
        }
    }

    private OperationTag tag(Transfer transfer) {
        Buffer data = transfer.buffer();
        int peer = transfer.peer();
        return transfer.sends() ? transferTag(++sent[peer], data, peer) : transferTag(++received[peer], data, me);
    }

    @Override
    protected <T> T doBroadcastObject(OperationTag tag, Duration limit, @Nullable T value, int root, Class<T> type) {
        byte[] mine = me == root && value != null ? codec.encode(value) : null;
        return codec.decode(carry(tag, limit, () -> parcels.broadcast(tag, mine, root)), type);
    }

    @Override
    protected <T> List<T> doAllGatherObject(OperationTag tag, Duration limit, T value, Class<T> type) {
        byte[] mine = codec.encode(value);
        List<byte[]> all = carry(tag, limit, () -> parcels.allGather(tag, mine));
        return all.stream().map(bytes -> codec.decode(bytes, type)).toList();
    }

    @Override
    protected void doSendObject(Duration limit, Object value, int peer) {
        byte[] mine = codec.encode(value);
        long number = ++sent[peer];
        carry(Parcels.tag(number, peer), limit, () -> parcels.send(number, mine, peer));
    }

    @Override
    protected <T> T doReceiveObject(Duration limit, int peer, Class<T> type) {
        long number = ++received[peer];
        Expected expected = new Expected(Parcels.tag(number, me), peer);
        return codec.decode(carry(expected, limit, () -> parcels.receive(number, peer)), type);
    }

    private static OperationTag transferTag(long number, Buffer data, int receiver) {
        return new OperationTag(number, Operation.SEND, null, data.type(), data.length(), receiver);
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
            mesh.begin(operation, limit, extension);
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
    protected boolean isAlive() {
        return fate.verdict() == null;
    }

    @Override
    protected void requireAlive(Object operation) {
        throwIfAny(fate.verdict(), operation);
    }

    @Override
    protected void requireNothingFound(Object operation) {
        throwIfAny(found, operation);
    }

    private void throwIfAny(@Nullable Verdict verdict, Object operation) {
        if (verdict != null) {
            throw verdict.exception(operation.toString(), group, peers);
        }
    }

    @Override
    protected boolean isMine(Buffer buffer) {
        return carrier(buffer).carries(buffer);
    }

    @Override
    protected List<OperationTag> underWay() {
        return device.underWay();
    }

    @Override
    protected Runnable apart(Runnable operations) {
        return device.apart(operations);
    }

    @Override
    protected boolean isDeviceRecordable() {
        return device.isRecordable();
    }

    /** What a carrier finds after its call has returned. */
    private final class Life implements Carriers.Life {
        @Override
        public void requireAlive(Object operation) {
            CpuCommunicator.this.requireAlive(operation);
        }

        @Override
        public void begin(Object told, Duration limit) {
            mesh.begin(told, limit, extension);
        }

        @Override
        public Optional<FirstCause> firstCause() {
            return Optional.ofNullable(fate.verdict()).map(Verdict::firstCause);
        }

        @Override
        public CommunicatorException fail(OperationTag tag, Throwable failure, Optional<Duration> asking) {
            Verdict own = Verdict.found(group, me, failure);
            found = own; // which whoever comes while the ranks are asked is told
            Verdict said = asking.filter(any -> fate.verdict() == null)
                    .map(limit -> asked(tag, own, limit))
                    .orElse(own);
            Verdict first = fate.seal(said);
            spread();
            return first.exception(tag.toString(), group, peers);
        }
    }

    /** What the ranks find when each says what it is in: who calls something else, or does not come; else {@code own}. */
    private Verdict asked(OperationTag tag, Verdict own, Duration limit) {
        boolean inside = isInside();
        if (!inside && !tryEnter()) {
            return own;
        }
        try {
            mesh.begin(tag, limit.compareTo(ASKING) < 0 ? limit : ASKING, extension);
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
        try {
            if (fate.verdict() == null) {
                device.close();
            }
        } finally {
            end(fate.verdict());
        }
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
