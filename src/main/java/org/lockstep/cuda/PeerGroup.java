package org.lockstep.cuda;

import java.util.List;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jcuda.driver.CUevent;
import org.jspecify.annotations.Nullable;
import org.lockstep.LockstepException;
import org.lockstep.collective.Blocks;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ProcessGroup;

/**
 * What the ranks of a group have in common that are threads of one JVM: how far the stream of each has come, and what of its
 * memory the others may read.
 *
 * <p>A rank reads a peer's memory by what it queues on its own stream behind that peer's event, which must have been recorded
 * before: nothing on a device waits for what is not queued yet. Who leaves waits, on its stream, for all that others have queued
 * against its memory, and nobody queues any more. Thread-safe.
 */
final class PeerGroup {
    private final Venue venue;
    private final Key key;
    private final Seat[] seats; // by rank in group
    private final ReadWriteLock leaving = new ReentrantReadWriteLock(); // written by who leaves

    private record Key(UUID attempt, List<Integer> ranks) {}

    /** What a rank lets its peers read, until the operation is over. */
    record Offer(
            @Nullable DeviceBuffer send,
            @Nullable DeviceBuffer receive,
            @Nullable Blocks blocks,
            double factor) {
        static Offer nothing() {
            return new Offer(null, null, null, 1);
        }
    }

    /**
     * A copy of what was sent, in the sender's memory.
     *
     * @param taken counted down when its reading is queued
     */
    record Parcel(DeviceBuffer data, int to, CountDownLatch taken) {}

    /** One rank's. */
    private static final class Seat {
        private final Queue<Parcel>[] inbox; // by sender
        private volatile @Nullable CudaDevice device;
        private volatile @Nullable CUevent point; // null before the rank comes, and when its stream runs no more
        private volatile Offer offer = Offer.nothing();
        private volatile boolean left;

        @SuppressWarnings({"unchecked", "rawtypes"}) // an array of generics is made no other way
        Seat(int size) {
            inbox = Stream.generate(ConcurrentLinkedQueue::new).limit(size).toArray(Queue[]::new);
        }
    }

    private PeerGroup(Venue venue, Key key) {
        this.venue = venue;
        this.key = key;
        int size = key.ranks().size();
        this.seats = IntStream.range(0, size).mapToObj(rank -> new Seat(size)).toArray(Seat[]::new);
    }

    /**
     * Takes the seat of rank in group {@code me}, in the place that whoever comes first has made.
     *
     * @param attempt of the world
     * @param device of the rank, whose stream its operations are on
     */
    static PeerGroup enter(Venue venue, UUID attempt, ProcessGroup group, int me, CudaDevice device) {
        Key key = new Key(attempt, List.copyOf(group.ranks()));
        PeerGroup place = venue.shared(key, PeerGroup.class, () -> new PeerGroup(venue, key));
        device.enter();
        Seat mine = place.seats[me];
        mine.device = device;
        mine.point = device.event();
        return place;
    }

    /** The device of a rank that has come, also after it left. */
    CudaDevice device(int rank) {
        CudaDevice device = seats[rank].device;
        if (device == null) {
            throw new IllegalStateException("rank " + rank + " in group has not come");
        }
        return device;
    }

    /** Lets others read, behind what {@code me} has queued so far. */
    void offer(int me, Offer offer) {
        seats[me].offer = offer;
        record(me);
    }

    /** What a peer offers in the operation that all ranks are in. */
    Offer offer(int peer) {
        return seats[peer].offer;
    }

    private void record(int me) {
        CUevent point = seats[me].point;
        if (point != null) {
            device(me).record(point);
        }
    }

    /**
     * Queues what reads memory of {@code peers}, behind all that they had queued when they last recorded.
     *
     * @return whether it was; else one of them has left
     */
    boolean read(int me, int[] peers, Runnable reads) {
        Lock staying = leaving.readLock();
        staying.lock();
        try {
            if (IntStream.of(peers).anyMatch(peer -> seats[peer].left)) {
                return false;
            }
            follow(me, peers);
            reads.run();
            record(me);
            return true;
        } finally {
            staying.unlock();
        }
    }

    /** Lets what {@code me} queues from now on wait for what {@code peers} had queued when they last recorded. */
    void await(int me, int[] peers) {
        Lock staying = leaving.readLock();
        staying.lock();
        try {
            follow(me, peers);
        } finally {
            staying.unlock();
        }
    }

    private void follow(int me, int[] peers) {
        for (int peer : peers) {
            CUevent point = seats[peer].point;
            if (point != null && peer != me) {
                device(me).follow(point);
            }
        }
    }

    /** Gives a peer something to take, behind what {@code me} has queued so far. */
    void post(int me, Parcel parcel) {
        record(me);
        seats[parcel.to()].inbox[me].add(parcel);
    }

    /** The first of a peer's that was not taken. */
    Parcel parcel(int me, int from) {
        Parcel first = seats[me].inbox[from].poll();
        if (first == null) {
            throw new IllegalStateException("rank " + from + " in group has told of a message that it has not posted");
        }
        return first;
    }

    /**
     * Nobody reads memory of {@code me} any more, but for what is queued: its stream waits for that. Idempotent.
     */
    void leave(int me) {
        Seat mine = seats[me];
        Lock last = leaving.writeLock();
        last.lock();
        try {
            if (!mine.left && mine.point != null) {
                mine.left = true;
                followAll(me);
            }
        } finally {
            last.unlock();
        }
    }

    private void followAll(int me) {
        try {
            device(me).enter();
            follow(me, IntStream.range(0, seats.length).toArray());
        } catch (LockstepException fault) {
            // Nothing runs on the device any more. Who waits for it is told; here the end of the world is, which has a
            // cause.
        }
    }

    /** The stream of {@code me}, which has left, runs no more; with the last rank the place goes. Idempotent. */
    void end(int me) {
        Lock last = leaving.writeLock();
        last.lock();
        try {
            CUevent point = seats[me].point;
            if (point != null) {
                seats[me].point = null;
                device(me).destroy(point);
            }
            if (Stream.of(seats).allMatch(seat -> seat.point == null)) {
                venue.forget(key);
            }
        } finally {
            last.unlock();
        }
    }
}
