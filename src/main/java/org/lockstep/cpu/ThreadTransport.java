package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.cpu.Board.Mailbox;
import org.lockstep.cpu.Board.Message;
import org.lockstep.cpu.Board.Slot;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * Ranks as threads of one JVM: each reads its peers' heap arrays, nothing is copied but the messages of transfers.
 *
 * <p>Waiting is adaptive: a short spin where every rank can have a core, some yields, then parking; a rank that is waited
 * for unparks those that wait for it. No core burns when ranks outnumber cores.
 */
final class ThreadTransport implements Transport {
    private static final int SPINS = 500;
    private static final int YIELDS = 20;
    private static final long PARK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    private final ProcessGroup group;
    private final int me;
    private final Board board;
    private final Fate fate;
    private final Slot mine;
    private final int spins;
    private long step;
    private boolean offered;

    ThreadTransport(ProcessGroup group, int rankInGroup, Board board, Fate fate) {
        this.group = group;
        this.me = rankInGroup;
        this.board = board;
        this.fate = fate;
        this.mine = board.slot(rankInGroup);
        this.spins = group.size() <= Runtime.getRuntime().availableProcessors() ? SPINS : 0;
    }

    @Override
    public @Nullable HostBuffer[] swap(
            OperationTag tag,
            @Nullable HostBuffer[] offers,
            IntFunction<@Nullable HostBuffer> targets,
            Deadline deadline) {
        long now = ++step;
        int lane = (int) (now & 1);
        mine.tags[lane] = tag;
        mine.offers[lane] = offers;
        mine.published = now;
        board.progress(me);
        offered = false;
        for (HostBuffer offer : offers) {
            offered |= offer != null && offer.size() > 0;
        }
        @Nullable HostBuffer[] views = new @Nullable HostBuffer[offers.length];
        for (int peer = 0; peer < offers.length; peer++) {
            if (peer != me) {
                Slot slot = board.slot(peer);
                await(tag.toString(), peer, deadline, () -> slot.published >= now);
                views[peer] = look(tag, peer, slot, lane);
            }
        }
        for (int peer = 0; peer < offers.length; peer++) {
            refuseUnreceived(tag, peer, now);
        }
        requireHealthy();
        return views;
    }

    private @Nullable HostBuffer look(OperationTag tag, int peer, Slot slot, int lane) {
        OperationTag theirs = slot.tags[lane];
        if (!tag.equals(theirs)) {
            String difference = theirs == null ? "" : tag.difference(theirs);
            throw new Failed(Verdict.mismatch(group, me, tag.toString(), peer, String.valueOf(theirs), difference));
        }
        @Nullable HostBuffer[] theirOffers = slot.offers[lane];
        return theirOffers == null ? null : theirOffers[me];
    }

    /** A message sent before this step and still unread: the peer expects a receive where this rank calls the step. */
    private void refuseUnreceived(OperationTag tag, int peer, long now) {
        Mailbox mailbox = board.usedMailbox(peer, me);
        Message message = mailbox == null ? null : mailbox.peek();
        if (message != null && message.step() < now) {
            throw new Failed(
                    Verdict.mismatch(group, me, tag.toString(), peer, message.tag() + " before it", "operation"));
        }
    }

    @Override
    public void finish(OperationTag tag, Deadline deadline) {
        long now = step;
        mine.done = now;
        board.progress(me);
        if (offered) {
            for (int peer = 0; peer < group.size(); peer++) {
                if (peer != me) {
                    Slot slot = board.slot(peer);
                    await(tag.toString(), peer, deadline, () -> slot.done >= now || slot.published > now);
                }
            }
        }
        requireHealthy();
    }

    @Override
    public void send(OperationTag tag, HostBuffer data, int peer, Deadline deadline) {
        HostBuffer copy = HostBuffer.allocate(data.type(), data.length());
        copy.copyFrom(data);
        Message message = new Message(tag, copy, step);
        Mailbox mailbox = board.mailbox(me, peer);
        await(tag.toString(), peer, deadline, () -> {
            boolean elsewhere = board.slot(peer).published > step;
            boolean gone = mailbox.offer(message);
            if (!gone && elsewhere) {
                throw new Failed(elsewhere(tag.toString(), peer));
            }
            return gone;
        });
        board.progress(me);
    }

    @Override
    public void receive(OperationTag tag, HostBuffer data, int peer, Deadline deadline) {
        Mailbox mailbox = board.mailbox(peer, me);
        String what = "receive #" + tag.sequence() + " " + data.type() + "[" + data.length() + "]";
        await(what, peer, deadline, () -> {
            // Read in this order: what the peer sent before it entered a step is visible once the step is.
            boolean elsewhere = board.slot(peer).published > step;
            boolean there = mailbox.peek() != null;
            if (!there && elsewhere) {
                throw new Failed(elsewhere(what, peer));
            }
            return there;
        });
        Message message = mailbox.peek();
        if (message == null) {
            throw new IllegalStateException("a message vanished");
        }
        if (!tag.equals(message.tag())) {
            throw new Failed(
                    Verdict.mismatch(group, me, what, peer, message.tag().toString(), tag.difference(message.tag())));
        }
        data.copyFrom(message.data());
        mailbox.drop();
        board.progress(me);
    }

    /** The peer is in an operation of the whole group, which this rank has not entered: they wait for each other. */
    private Verdict elsewhere(String what, int peer) {
        Slot slot = board.slot(peer);
        OperationTag theirs = slot.tags[(int) (slot.published & 1)];
        return Verdict.mismatch(group, me, what, peer, String.valueOf(theirs), "operation");
    }

    /** Waits until {@code ready}, which {@code peer} brings about. */
    @SuppressWarnings("ThreadPriorityCheck") // a hint: what is waited for is checked again either way
    private void await(String what, int peer, Deadline deadline, BooleanSupplier ready) {
        for (int turn = 0; turn < spins; turn++) {
            if (ready.getAsBoolean()) {
                return;
            }
            Thread.onSpinWait();
        }
        for (int turn = 0; turn < YIELDS; turn++) {
            if (ready.getAsBoolean()) {
                return;
            }
            Thread.yield();
        }
        mine.waitsFor = peer;
        mine.waiter = Thread.currentThread();
        try {
            while (!ready.getAsBoolean()) {
                requireHealthy();
                if (board.slot(peer).left && !ready.getAsBoolean()) {
                    throw new Failed(Verdict.lost(group, me, what, peer, "left the group", null));
                }
                if (Thread.currentThread().isInterrupted()) {
                    throw new Failed(Verdict.interrupted(group, me, what));
                }
                if (deadline.passed()) {
                    throw new Failed(Verdict.timeout(group, me, what, deadline, absent(peer)));
                }
                LockSupport.parkNanos(this, Math.min(PARK_NANOS, deadline.nanosLeft()));
            }
        } finally {
            mine.waiter = null;
        }
    }

    /** Who did not come to this step; {@code peer} if all did and it is a transfer or the end of the step. */
    private List<Integer> absent(int peer) {
        List<Integer> absent = new ArrayList<>();
        for (int other = 0; other < group.size(); other++) {
            if (board.slot(other).published < step) {
                absent.add(other);
            }
        }
        return absent.isEmpty() ? List.of(peer) : absent;
    }

    private void requireHealthy() {
        Verdict verdict = board.failure();
        if (verdict == null) {
            verdict = fate.verdict();
        }
        if (verdict != null) {
            throw new Failed(verdict);
        }
    }

    @Override
    public void close() {
        board.leave(me);
    }

    @Override
    public void abort(Verdict verdict) {
        board.fail(verdict);
        board.leave(me);
    }

    @Override
    public void wake() {
        Verdict verdict = fate.verdict();
        if (verdict != null) {
            board.fail(verdict);
        }
    }
}
