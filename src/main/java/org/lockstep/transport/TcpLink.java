package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.TransportKind;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/** A peer behind a proven connection: frames in and frames out, both in the thread of this rank. */
final class TcpLink extends Link {
    private final ProcessGroup group;
    private final int me;
    private final SocketChannel channel;
    private final SelectionKey selection;
    private final Duration patience;
    private final Outlet out;
    private final Inlet in;
    private @Nullable OperationTag wanted;
    private @Nullable OperationTag sent;
    private long wantedBytes;
    private boolean here;
    private @Nullable HostBuffer target;
    private int goal; // elements of target
    private int taken; // of them
    private boolean left;
    private @Nullable IOException broken;
    private @Nullable Grace gone; // since the peer is
    private boolean closed;

    /**
     * The link of rank in group {@code me} over {@code channel}.
     *
     * @param selection of the channel
     * @param patience how long the peer may be gone before that is told: who knows why may tell first
     */
    TcpLink(
            ProcessGroup group,
            int me,
            int peer,
            SocketChannel channel,
            Seal seal,
            SelectionKey selection,
            Duration patience) {
        super(peer);
        this.group = group;
        this.me = me;
        this.channel = channel;
        this.selection = selection;
        this.patience = patience;
        this.out = new Outlet(channel, seal, Frame.CHUNK);
        this.in = new Inlet(channel, seal, Frame.CHUNK);
    }

    @Override
    public TransportKind kind() {
        return TransportKind.TCP;
    }

    @Override
    public void send(OperationTag tag, @Nullable HostBuffer data) {
        sent = tag;
        out.begin(tag, data);
        pushed();
    }

    @Override
    public boolean pushed() {
        if (out.isPushed()) {
            return true;
        }
        if (gone != null) {
            check();
            return false;
        }
        try {
            requireCalm();
            boolean all = out.push();
            if (out.moved()) {
                move();
            }
            if (all && wanted == null) {
                in.rest(); // nobody looks for what comes now
            }
            return all;
        } catch (IOException failure) {
            lose(failure); // its last words may still be here to be read
            return false;
        }
    }

    @Override
    public long pushedBytes() {
        return out.doneBytes();
    }

    @Override
    public void expect(OperationTag tag, long bytes) {
        wanted = tag;
        wantedBytes = bytes;
        here = false;
    }

    @Override
    public boolean arrived() {
        if (here) {
            return true;
        }
        OperationTag tag = wanted;
        if (tag == null) {
            throw new IllegalStateException("nothing is expected of " + peer());
        }
        try {
            if (!isHere(wantedBytes)) {
                return false;
            }
            if (!in.matches(tag)) {
                OperationTag theirs = in.tag();
                throw new Failed(Verdict.mismatch(
                        group, me, tag.asExpected(peer()), peer(), theirs.toString(), tag.difference(theirs)));
            }
            in.begin(wantedBytes);
            here = true;
            move();
            return true;
        } catch (Inlet.Damaged damage) {
            throw damaged(damage);
        }
    }

    /** Whether a DATA header is here. */
    private boolean isHere(long payload) throws Inlet.Damaged {
        if (left) {
            return false;
        }
        try {
            requireCalm();
            boolean any = in.header(payload);
            seeMoves();
            if (!any || in.kind() == Frame.DATA) {
                return any;
            }
            if (in.kind() != Frame.GOODBYE) {
                throw new Inlet.Damaged("a frame of kind " + in.kind());
            }
            left = true;
            gone();
        } catch (IOException failure) {
            lose(failure);
        }
        return false;
    }

    /** A channel that an interrupted thread touches is closed, and nobody would hear why. */
    private void requireCalm() {
        if (Thread.currentThread().isInterrupted()) {
            throw new Failed(Verdict.interrupted(group, me, what()));
        }
    }

    private void seeMoves() {
        if (in.moved()) {
            move();
        }
        if (in.isEnded()) {
            gone();
        }
    }

    private void lose(IOException failure) {
        if (broken == null) {
            broken = failure;
        }
        gone();
    }

    private void gone() {
        if (gone == null) {
            gone = new Grace(patience);
        }
    }

    private Failed damaged(Inlet.Damaged damage) {
        String link = " (link " + group.rank(peer()) + "->" + group.rank(me) + ")";
        return new Failed(Verdict.protocol(group, me, what(), peer(), damage.getMessage() + link));
    }

    /** What this rank is doing with the peer. */
    private String what() {
        OperationTag tag = wanted;
        return tag == null ? String.valueOf(sent) : tag.asExpected(peer());
    }

    @Override
    public void into(HostBuffer piece, int count) {
        target = piece;
        goal = count;
        taken = 0;
    }

    @Override
    public boolean filled() {
        HostBuffer piece = target;
        if (piece == null) {
            return true;
        }
        try {
            requireCalm();
            taken += in.take(piece, taken, goal);
            seeMoves();
        } catch (IOException failure) {
            lose(failure);
        } catch (Inlet.Damaged damage) {
            throw damaged(damage);
        }
        if (taken < goal) {
            return false;
        }
        target = null;
        return true;
    }

    @Override
    public void received() {
        in.end();
        here = false;
        wanted = null;
    }

    @Override
    public @Nullable OperationTag unexpected() {
        if (wanted != null) {
            return null;
        }
        try {
            return isHere(0) ? in.tag() : null;
        } catch (Inlet.Damaged damage) {
            throw damaged(damage);
        }
    }

    @Override
    public void check() {
        Grace grace = gone;
        if (grace == null) {
            return;
        }
        if (wanted == null) {
            unexpected(); // last words, perhaps
        }
        if (!grace.isOver()) {
            return;
        }
        IOException failure = broken;
        String how = left
                ? "left the group"
                : "is gone, its connection " + (failure == null ? "closed" : "failed: " + failure.getMessage());
        throw new Failed(Verdict.lost(group, me, what(), peer(), how, failure));
    }

    /** Tells the selector what this link waits for. */
    void awaitReadiness() {
        if (!closed && selection.isValid()) {
            boolean reads = in.isStarving() && gone == null;
            boolean writes = !out.isPushed() && gone == null;
            selection.interestOps((reads ? SelectionKey.OP_READ : 0) | (writes ? SelectionKey.OP_WRITE : 0));
        }
    }

    @Override
    public void close() {
        end(null);
    }

    @Override
    public void abort(Verdict verdict) {
        end(verdict);
    }

    private void end(@Nullable Verdict verdict) {
        if (!closed) {
            closed = true;
            boolean interrupted = Thread.interrupted(); // or the channel would be closed before the last words
            out.lastWords(verdict);
            Sockets.closeGently(channel);
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
