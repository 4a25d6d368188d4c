package org.lockstep.transport;

import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.TransportKind;
import org.lockstep.tensor.HostBuffer;

/**
 * One peer of one group, as this rank sees it: messages out and messages in, each way in order and each with its tag.
 *
 * <p>Nothing here waits: a message is begun, then pumped until it is done, both ways as the caller likes, so that no order
 * of sending and receiving can block. A message is a tag and the elements of a buffer; how many, the receiver knows from
 * its own operation, never from the wire. It may take them in pieces, one {@link #into} after the other.
 *
 * <p>Confined to the thread that the communicator admitted. Methods that pump throw {@link Failed} with what went wrong.
 */
public abstract class Link implements AutoCloseable {
    /** The peer's rank in group. */
    private final int peer;

    private boolean moved;

    Link(int peer) {
        this.peer = peer;
    }

    public final int peer() {
        return peer;
    }

    public abstract TransportKind kind();

    /**
     * Begins a message; the one before has been {@link #pushed} whole, or was lent.
     *
     * @param data not to be changed before {@link #isReturned}; null for a tag alone
     */
    public abstract void send(OperationTag tag, @Nullable HostBuffer data);

    /** Pumps what was begun; whether all of it is on its way. */
    public abstract boolean pushed();

    /** Bytes of the message begun last that are on their way: those may be changed by now, unless they are lent. */
    public abstract long pushedBytes();

    /** Whether the peer looks at no memory of this rank any more; what was pushed but not lent is not looked at. */
    public boolean isReturned() {
        return true;
    }

    /** As {@link #isReturned}, after a copy was taken of what is lent, if the peer does not look at it yet. */
    public boolean isReplaced() {
        return true;
    }

    /** Whether a message of so many bytes would be lent: shown in place, instead of being copied. */
    public boolean lends(long bytes) {
        return false;
    }

    /** Begins to receive a message with this tag and so many bytes of elements; the one before was {@link #received}. */
    public abstract void expect(OperationTag tag, long bytes);

    /** Pumps; whether the expected message begins to be here. Throws COLLECTIVE_MISMATCH if another one is. */
    public abstract boolean arrived();

    /** The peer's own memory, where the message that arrived was lent; read only, until {@link #received}. */
    public @Nullable HostBuffer lent() {
        return null;
    }

    /**
     * The next {@code count} elements of the message that arrived go to the first of {@code target}; the piece before is
     * {@link #filled}.
     */
    public abstract void into(HostBuffer target, int count);

    /** Pumps; whether the piece is complete. */
    public abstract boolean filled();

    /** Ends the message that was expected; all its elements were taken, or seen where it was lent. */
    public abstract void received();

    /** Whether a message is here that was not expected yet; its tag, for what is said about mismatches. */
    public abstract @Nullable OperationTag unexpected();

    /** Whether a pump since the last call moved anything. */
    public final boolean moved() {
        boolean any = moved;
        moved = false;
        return any;
    }

    /** A pump moved something. */
    final void move() {
        moved = true;
    }

    /** A look at what costs more than a poll: whether the peer left or is gone. Throws {@link Failed} if so. */
    public abstract void check();

    /** Tells the peer that this rank left, and frees everything. Idempotent. */
    @Override
    public abstract void close();

    /** Frees everything; tells the peer why where it cannot hear it otherwise. Idempotent. */
    public abstract void abort(Verdict verdict);
}
