package org.lockstep.cpu;

import java.util.List;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.HostBuffer;

/**
 * Where the threads of one group show each other what they hold: a slot for each rank, and mailboxes for transfers.
 *
 * <p>Thread-safe in this sense: a slot's own rank writes it, everybody reads it after its {@code published} told so.
 */
final class Board {
    /** Messages that a rank may have on the way to another before its next send waits. */
    static final int MAIL = 4;

    private final Venue venue;
    private final Key key;
    private final Slot[] slots;
    private final ConcurrentMap<Integer, Mailbox> mail = new ConcurrentHashMap<>();
    private final AtomicReference<@Nullable Verdict> failure = new AtomicReference<>();
    private final AtomicInteger gone = new AtomicInteger();

    /** Under which the threads of one group find their board in the venue. */
    private record Key(UUID attempt, List<Integer> ranks) {}

    /** What one rank shows. Two lanes, for a rank may be one step ahead of who still reads the last one. */
    static final class Slot {
        final @Nullable OperationTag[] tags = new @Nullable OperationTag[2];
        final @Nullable HostBuffer[][] offers = new @Nullable HostBuffer[2][];

        /** The number of the latest step that this rank shows; written last. */
        volatile long published;

        /** The number of the latest step whose offers of others this rank no longer reads. */
        volatile long done;

        volatile boolean left;

        /** The thread that waits, or is about to, and the rank in group whose progress it waits for. */
        volatile @Nullable Thread waiter;

        volatile int waitsFor;
    }

    /** A message: a copy of its sender's data. */
    record Message(OperationTag tag, HostBuffer data, long step) {}

    /** The messages of one rank to one other: a ring of one writer and one reader. */
    static final class Mailbox {
        private final @Nullable Message[] ring = new @Nullable Message[MAIL];
        private volatile long put;
        private volatile long taken;

        /** False if it is full. */
        boolean offer(Message message) {
            long at = put;
            if (at - taken == MAIL) {
                return false;
            }
            ring[(int) (at % MAIL)] = message;
            put = at + 1;
            return true;
        }

        @Nullable
        Message peek() {
            long at = taken;
            return at == put ? null : ring[(int) (at % MAIL)];
        }

        void drop() {
            long at = taken;
            ring[(int) (at % MAIL)] = null;
            taken = at + 1;
        }
    }

    private Board(Venue venue, Key key) {
        this.venue = venue;
        this.key = key;
        this.slots = new Slot[key.ranks().size()];
        for (int i = 0; i < slots.length; i++) {
            slots[i] = new Slot();
        }
    }

    /** The group's board, made by whoever comes first. */
    static Board of(Venue venue, UUID attempt, List<Integer> ranks) {
        Key key = new Key(attempt, List.copyOf(ranks));
        return venue.shared(key, Board.class, () -> new Board(venue, key));
    }

    Slot slot(int rank) {
        return slots[rank];
    }

    Mailbox mailbox(int from, int to) {
        return mail.computeIfAbsent(from * slots.length + to, pair -> new Mailbox());
    }

    /** The mailbox if anything was ever sent in it. */
    @Nullable
    Mailbox usedMailbox(int from, int to) {
        return mail.isEmpty() ? null : mail.get(from * slots.length + to);
    }

    @Nullable
    Verdict failure() {
        return failure.get();
    }

    /** The first failure stays, and frees everybody. */
    void fail(Verdict verdict) {
        if (failure.compareAndSet(null, verdict)) {
            for (Slot slot : slots) {
                LockSupport.unpark(slot.waiter);
            }
        }
    }

    /** Wakes those that wait for {@code rank}. */
    void progress(int rank) {
        for (Slot slot : slots) {
            Thread waiter = slot.waiter;
            if (waiter != null && slot.waitsFor == rank) {
                LockSupport.unpark(waiter);
            }
        }
    }

    /** A rank is gone for good; the last one clears the place. */
    void leave(int rank) {
        if (!slots[rank].left) {
            slots[rank].left = true;
            progress(rank);
            if (gone.incrementAndGet() == slots.length) {
                venue.forget(key);
            }
        }
    }
}
