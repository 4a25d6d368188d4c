package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.LockstepException;
import org.lockstep.collective.OperationTag.Operation;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.GroupKind;

/**
 * What every communicator has around carrying: {@link Operations} on terms, their order and record, one life. A backend adds how
 * the data move.
 *
 * <p>Threads: as {@link Communicator}. The {@code do} methods and {@link #carry} run in the thread that was admitted.
 */
public abstract class GuardedCommunicator extends LiveCommunicator {
    private final OperationTerms terms;
    private final OperationLog log = new OperationLog();
    private long sequence; // of the operations of the whole group; only the admitted thread touches it

    protected GuardedCommunicator(OperationTerms terms) {
        this.terms = terms;
    }

    /** An operation of a carrier. */
    @FunctionalInterface
    public interface Step {
        void by(Carrier carrier, OperationTag tag);
    }

    /**
     * Performs an operation whose buffers are where {@code data} is.
     *
     * @param step called with the carrier of that memory, once
     */
    protected abstract void carry(OperationTag tag, Duration limit, Buffer data, Step step);

    protected abstract void doBarrier(OperationTag tag, Duration limit);

    /** All at once, in any order between different peers; at least one. */
    protected abstract void doTransfers(Duration limit, List<Transfer> transfers);

    protected abstract <T> T doBroadcastObject(
            OperationTag tag, Duration limit, @Nullable T value, int root, Class<T> type);

    protected abstract <T> List<T> doAllGatherObject(OperationTag tag, Duration limit, T value, Class<T> type);

    protected abstract void doSendObject(Duration limit, Object value, int peer);

    protected abstract <T> T doReceiveObject(Duration limit, int peer, Class<T> type);

    /** Whether there is a carrier for {@code buffer}; false is an IllegalArgumentException for the caller. */
    protected abstract boolean isMine(Buffer buffer);

    /** What was called and is not known to be complete. From any thread. */
    protected abstract List<OperationTag> underWay();

    /** Whether a device can record what is called here; not what has to be looked through. */
    protected abstract boolean isDeviceRecordable();

    @Override
    final GuardedCommunicator real() {
        return this;
    }

    @Override
    protected final OperationTerms terms() {
        return terms;
    }

    /** This communicator for groups of a kind, which may have terms of its own. */
    public final Communicator as(GroupKind kind) {
        OperationTerms own = terms.of(kind);
        return own.equals(terms) ? this : new CommunicatorView(this, own);
    }

    @Override
    public final boolean isRecordable() {
        return isDeviceRecordable() && !terms.finite();
    }

    @Override
    public final Flight flight() {
        return log.flight(group(), rankInGroup()).withUnderWay(underWay());
    }

    final OperationLog log() {
        return log;
    }

    /** The next operation of the whole group. */
    final OperationTag tag(Operation operation, @Nullable ReduceOp op, @Nullable DataType type, long count, int root) {
        return new OperationTag(++sequence, operation, op == null ? null : op.kind(), type, count, root);
    }

    /**
     * Throws if the terms ask for it and not all that the next operation of the whole group takes from this rank are numbers. A
     * group of one exchanges nothing.
     */
    final void look(Operation operation, Buffer read) {
        if (terms.finite() && size() > 1) {
            requireFinite(operation + " #" + (sequence + 1), read);
        }
    }

    /** The same of a transfer. */
    final void look(Transfer transfer) {
        if (terms.finite() && transfer.sends()) {
            requireFinite("send to rank " + transfer.peer(), transfer.buffer());
        }
    }

    /** Peers would go on waiting for this operation, or take the next one for it. */
    private void requireFinite(String operation, Buffer given) {
        try {
            Finite.require(operation, this, given);
        } catch (LockstepException notFinite) {
            abort(notFinite);
            throw notFinite;
        }
    }
}
