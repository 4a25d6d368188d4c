package org.lockstep.transport;

import java.nio.ByteBuffer;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.lockstep.topology.ProcessGroup;

/**
 * Where the threads of one group meet in their JVM: a channel for each direction between two ranks, made when
 * first used, and a seat for each rank. Thread-safe.
 */
final class Board {
    /** Messages of more bytes are lent: two cache misses then cost less than copying. */
    static final int COPIED_BYTES = 4096;

    private static final int RING_BYTES = 4 * COPIED_BYTES;

    private final Seats seats;
    private final ConcurrentMap<Long, Channel> channels = new ConcurrentHashMap<>();
    private final AtomicIntegerArray left;

    /** One direction between two threads. */
    private record Channel(ByteBuffer bytes, Loans loans) {
        static Channel create() {
            ByteBuffer bytes = ByteBuffer.allocateDirect(Ring.ELEMENTS + RING_BYTES + 64);
            return new Channel(bytes.alignedSlice(64), new Loans());
        }

        /** For one of its ends alone: what the other changes may lie next to what both would look at. */
        Ring ring() {
            return new Ring(new Memory(bytes), 0, RING_BYTES);
        }
    }

    /** Of a group of {@code size}. */
    Board(int size) {
        seats = new Seats(size);
        left = new AtomicIntegerArray(size);
    }

    Seats seats() {
        return seats;
    }

    /** The link of rank in group {@code me} to {@code peer}. */
    Link link(ProcessGroup group, int me, int peer) {
        Channel out = channel(me, peer);
        Channel in = channel(peer, me);
        return RingLink.ofThread(
                group,
                me,
                peer,
                out.ring(),
                in.ring(),
                out.loans(),
                in.loans(),
                COPIED_BYTES,
                seats,
                () -> left.get(peer) == 0 ? RingLink.Presence.HERE : RingLink.Presence.LEFT);
    }

    private Channel channel(int from, int to) {
        return channels.computeIfAbsent((long) from << 32 | to, pair -> Channel.create());
    }

    /** Rank in group {@code me} sends and receives no more. */
    void leave(int me) {
        left.set(me, 1);
        seats.wakeAll();
    }
}
