package org.lockstep.transport;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.TransportKind;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/** A peer with whom this rank shares memory: a thread of this JVM, or a JVM of this host. */
final class RingLink extends Link {
    private static final long LENT = 1L << 24; // a mark

    private final ProcessGroup group;
    private final int me;
    private final Ring.Writer out;
    private final Ring.Reader in;
    private final @Nullable Loans given;
    private final @Nullable Loans taken;
    private final int copied;
    private final @Nullable Seats seats;
    private final Supplier<Presence> presence;
    private boolean waits; // for the message whose tag these are: numbers, for a reference would cost a fence a message
    private long wantedWord;
    private long wantedSequence;
    private long wantedCount;
    private long wantedBytes;
    private boolean here;
    private @Nullable HostBuffer lentNow; // to this rank
    private @Nullable HostBuffer lendNext; // by this rank, as soon as the peer can be told
    private final Deque<Loan> outstanding = new ArrayDeque<>(); // lent by this rank
    private long seenOut;
    private @Nullable Grace gone; // since the peer is

    /** What a peer says of itself where both can see it. */
    enum Presence {
        HERE,
        /** After its last operation. */
        LEFT,
        /** In the middle. */
        GONE
    }

    /** A message that the peer may look at. */
    private record Loan(long number, HostBuffer data) {}

    private RingLink(
            ProcessGroup group,
            int me,
            int peer,
            Ring out,
            Ring in,
            @Nullable Loans given,
            @Nullable Loans taken,
            int copied,
            @Nullable Seats seats,
            Supplier<Presence> presence) {
        super(peer);
        this.group = group;
        this.me = me;
        this.out = new Ring.Writer(out);
        this.in = new Ring.Reader(in);
        this.given = given;
        this.taken = taken;
        this.copied = copied;
        this.seats = seats;
        this.presence = presence;
    }

    /** A thread of this JVM; messages of more than {@code copied} bytes are lent. */
    static RingLink ofThread(
            ProcessGroup group,
            int me,
            int peer,
            Ring out,
            Ring in,
            Loans given,
            Loans taken,
            int copied,
            Seats seats,
            Supplier<Presence> presence) {
        return new RingLink(group, me, peer, out, in, given, taken, copied, seats, presence);
    }

    /** A JVM of this host. */
    static RingLink ofProcess(ProcessGroup group, int me, int peer, Ring out, Ring in, Supplier<Presence> presence) {
        return new RingLink(group, me, peer, out, in, null, null, Integer.MAX_VALUE, null, presence);
    }

    @Override
    public TransportKind kind() {
        return seats == null ? TransportKind.SHARED : TransportKind.THREAD;
    }

    @Override
    public void send(OperationTag tag, @Nullable HostBuffer data) {
        if (given != null && data != null && lends(data.bytes())) {
            out.begin(tag, LENT, null);
            lendNext = data;
        } else {
            out.begin(tag, 0, data);
        }
        seenOut = -1;
        pushed();
    }

    @Override
    public boolean pushed() {
        HostBuffer loan = lendNext;
        if (given != null && loan != null && out.hasRoom()) {
            // Not earlier: the place to show it belongs to the message that many tags ago until that is taken.
            outstanding.add(new Loan(out.number(), loan));
            given.show(out.number(), loan);
            lendNext = null;
        }
        boolean all = lendNext == null && out.push();
        long now = all ? Long.MAX_VALUE : out.doneBytes();
        if (now != seenOut) {
            seenOut = now;
            move();
            wake();
        }
        return all;
    }

    private void wake() {
        if (seats != null) {
            seats.wake(peer());
        }
    }

    @Override
    public long pushedBytes() {
        return out.doneBytes();
    }

    @Override
    public boolean isReturned() {
        if (given != null) {
            long returned = given.returned();
            for (Loan first = outstanding.peek();
                    first != null && first.number() <= returned;
                    first = outstanding.peek()) {
                outstanding.remove();
            }
        }
        return lendNext == null && outstanding.isEmpty();
    }

    @Override
    public boolean isReplaced() {
        if (given != null) {
            for (Loan first = outstanding.peek();
                    first != null && given.replace(first.number(), first.data());
                    first = outstanding.peek()) {
                outstanding.remove();
            }
        }
        return lendNext == null && outstanding.isEmpty();
    }

    @Override
    public boolean lends(long bytes) {
        return given != null && bytes > copied;
    }

    @Override
    public void expect(OperationTag tag, long bytes) {
        waits = true;
        wantedWord = Frame.word(tag);
        wantedSequence = tag.sequence();
        wantedCount = tag.count();
        wantedBytes = bytes;
        here = false;
    }

    @Override
    public boolean arrived() {
        if (here) {
            return true;
        }
        if (!in.arrived()) {
            return false;
        }
        if (!waits) {
            throw new IllegalStateException("nothing is expected of rank in group " + peer());
        }
        if (!in.matches(wantedWord, wantedSequence, wantedCount)) {
            throw mismatch();
        }
        here = true;
        lentNow = taken != null && in.mark() == LENT ? taken.look(in.number()) : null;
        move();
        return true;
    }

    private OperationTag wanted() {
        return Frame.tag(wantedWord, wantedSequence, wantedCount);
    }

    private Failed mismatch() {
        OperationTag tag = wanted();
        try {
            OperationTag theirs = in.tag();
            return new Failed(Verdict.mismatch(
                    group, me, tag.asExpected(peer()), peer(), theirs.toString(), tag.difference(theirs)));
        } catch (IllegalArgumentException nonsense) {
            return new Failed(
                    Verdict.protocol(group, me, tag.asExpected(peer()), peer(), String.valueOf(nonsense.getMessage())));
        }
    }

    @Override
    public @Nullable HostBuffer lent() {
        return lentNow;
    }

    @Override
    public void into(HostBuffer target, int count) {
        in.into(target, count, wantedBytes);
    }

    @Override
    public boolean filled() {
        boolean all = in.fill();
        if (in.moved()) {
            move();
            wake();
        }
        return all;
    }

    @Override
    public void received() {
        if (taken != null && lentNow != null) {
            taken.giveBack(in.number());
            lentNow = null;
        }
        in.end();
        here = false;
        waits = false;
        wake();
    }

    @Override
    public @Nullable OperationTag unexpected() {
        return !waits && in.arrived() ? in.tag() : null;
    }

    @Override
    public void check() {
        Presence now = presence.get();
        if (now == Presence.LEFT && !(waits && in.arrived())) { // what nobody expects is not waited for
            throw lost("left the group");
        }
        Grace grace = gone;
        if (now == Presence.GONE && grace == null) {
            gone = new Grace(Door.GRACE);
        } else if (grace != null && grace.isOver()) {
            throw lost("is gone, it gave the group up");
        }
    }

    private Failed lost(String how) {
        String mine = waits ? wanted().asExpected(peer()) : "a transfer";
        return new Failed(Verdict.lost(group, me, mine, peer(), how, null));
    }

    /** What this link has of its own is on the heap; that the rank left is told by who made the link. */
    @Override
    public void close() {}

    @Override
    public void abort(Verdict verdict) {}
}
