package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ProcessGroup;

/**
 * A group of one rank: no connection, the same checks, the same objects through the same codec, so that
 * what works on one rank does not fail on two.
 */
public final class SoloCommunicator extends GuardedCommunicator {
    private final ProcessGroup group;
    private final ObjectCodec codec;
    private final Carrier host = new SoloHost();
    private final @Nullable Carrier device;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /**
     * The communicator of a group of one.
     *
     * @param terms of operations
     * @param devices make what carries buffers of a device, if there is one
     * @throws IllegalArgumentException if the group has more than one rank
     */
    public SoloCommunicator(ProcessGroup group, ObjectCodec codec, OperationTerms terms, Optional<Carriers> devices) {
        super(terms);
        if (group.size() != 1) {
            throw new IllegalArgumentException("a solo communicator is for one rank, not " + group);
        }
        this.group = group;
        this.codec = codec;
        OperationTag tag = new OperationTag(0, OperationTag.Operation.CONNECT, null, null, 0, -1);
        this.device = devices.map(each -> each.connect(group, 0, host, new Life(), tag))
                .orElse(null);
    }

    @Override
    public ProcessGroup group() {
        return group;
    }

    @Override
    public int rankInGroup() {
        return 0;
    }

    @Override
    protected void carry(OperationTag tag, Duration limit, Buffer data, Step step) {
        Carrier carrier = carrier(data);
        carrier.begin(limit);
        step.by(carrier, tag);
    }

    private Carrier carrier(Buffer buffer) {
        return device == null || host.carries(buffer) ? host : device;
    }

    @Override
    protected void doBarrier(OperationTag tag, Duration limit) {}

    @Override
    protected void doTransfers(Duration limit, List<Transfer> transfers) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected <T> T doBroadcastObject(OperationTag tag, Duration limit, @Nullable T value, int root, Class<T> type) {
        if (value == null) {
            throw new IllegalArgumentException("the root of a broadcast gives the object, not null");
        }
        return codec.decode(codec.encode(value), type);
    }

    @Override
    protected <T> List<T> doAllGatherObject(OperationTag tag, Duration limit, T value, Class<T> type) {
        return List.of(codec.decode(codec.encode(value), type));
    }

    @Override
    protected void doSendObject(Duration limit, Object value, int peer) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected <T> T doReceiveObject(Duration limit, int peer, Class<T> type) {
        throw new AssertionError("a group of one has no peer");
    }

    @Override
    protected boolean isAlive() {
        return failure.get() == null;
    }

    @Override
    protected void requireAlive(Object operation) {
        Throwable cause = failure.get();
        if (cause != null) {
            throw dead(operation, cause);
        }
    }

    private CommunicatorException dead(Object operation, Throwable cause) {
        return new CommunicatorException(LockstepException.report(
                        ErrorCode.ABORTED,
                        operation + " in " + group + " aborted because of rank " + group.first() + ": " + cause)
                .cause(cause));
    }

    @Override
    protected boolean isMine(Buffer buffer) {
        return carrier(buffer).carries(buffer);
    }

    @Override
    protected List<OperationTag> underWay() {
        return device == null ? List.of() : device.underWay();
    }

    @Override
    protected boolean isDeviceRecordable() {
        return device != null && device.isRecordable();
    }

    private final class Life implements Carriers.Life {
        @Override
        public void requireAlive(Object operation) {
            SoloCommunicator.this.requireAlive(operation);
        }

        /** Nobody is waited for. */
        @Override
        public void begin(Object told, Duration limit) {}

        @Override
        public Optional<FirstCause> firstCause() {
            int me = group.first();
            return Optional.ofNullable(failure.get())
                    .map(cause -> new FirstCause(ErrorCode.ABORTED, me, me, cause.toString()));
        }

        @Override
        public CommunicatorException fail(OperationTag tag, Throwable cause, Optional<Duration> asking) {
            abort(cause);
            return dead(tag, cause);
        }
    }

    @Override
    protected void doClose() {
        if (device != null) {
            device.close();
        }
    }

    @Override
    protected void doAbort(Throwable cause) {
        failure.compareAndSet(null, cause);
        if (device != null) {
            device.abort();
        }
    }
}
