package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import jcuda.driver.CUevent;
import jcuda.driver.CUstream;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ProcessGroup;

/**
 * What one group was given to do on the rank's device: queued in the rank's stream, and looked after until it is complete
 * ({@link #look}). What its communicator's own thread calls goes in a stream of its own, beside the rank's ({@link OwnStream}), and
 * is complete on return.
 *
 * <p>Confined to the thread that was admitted, but for {@link #apart}, {@link #look}, {@link #oldest}, {@link #underWay} and
 * {@link #abort}.
 */
final class DeviceQueue {
    private final DeviceQueues rank;
    private final ProcessGroup group;
    private final CudaDevice device;
    private final Carriers.Life life;
    private final Duration usual; // deadline
    private volatile @Nullable Duration repeated; // deadline of what graphs repeat; null where none does
    private Duration limit; // of what is called next
    private final InFlight inFlight;
    private volatile @Nullable OperationTag last;
    private final boolean highPriority; // of the own stream
    private @Nullable OwnStream own; // guarded by this; made when it is first needed
    private boolean ended; // guarded by this
    private volatile @Nullable Thread beside; // that queues in the own stream
    private long begun; // by the own stream, what is queued there last, as far as that thread knows
    private final List<Medium> media = new CopyOnWriteArrayList<>();

    /** By what queued operations are carried, which may fail after they were called. */
    interface Medium {
        /** Throws what has failed. */
        void check(OperationTag tag);

        /** Whether something has failed that no operation waits for any more. */
        default boolean hasFailed() {
            return false;
        }

        /** What to try where {@code tag} is not complete in time; empty where it does not carry that. */
        Optional<String> advice(OperationTag tag);

        /** Lets what waits on the device for other ranks end now. From any thread, and more than once. */
        default void end() {}

        /** As {@link CudaDevice.Watch#allocated}. */
        default void allocated(long address, long bytes) {}

        /** As {@link CudaDevice.Watch#releasing}. */
        default void releasing(long address) {}
    }

    DeviceQueue(
            DeviceQueues rank,
            ProcessGroup group,
            CudaDevice device,
            Carriers.Life life,
            Duration usual,
            boolean highPriority) {
        this.rank = rank;
        this.group = group;
        this.device = device;
        this.life = life;
        this.usual = usual;
        this.limit = usual;
        this.inFlight = new InFlight(device);
        this.highPriority = highPriority;
    }

    /** Looks after what {@code medium} carries too, which may be some of what those before would. */
    void add(Medium medium) {
        media.add(medium);
        if (rank.isAborted()) {
            medium.end();
        }
    }

    void begin(Duration deadline) {
        limit = deadline;
    }

    /** How long what is called next may take. */
    Duration limit() {
        return limit;
    }

    /** The stream for what is called now. */
    CUstream stream() {
        return isApart() ? own().stream() : device.stream();
    }

    private boolean isApart() {
        return beside == Thread.currentThread();
    }

    /**
     * Operations that {@code calls} queues in {@link #stream}, together.
     *
     * @param called what errors call them
     */
    void queue(List<OperationTag> tags, Object called, Runnable calls) {
        device.enter();
        boolean isApart = isApart();
        try {
            if (!isApart) {
                device.backlog().await(); // here nothing is held yet
            }
            calls.run();
        } catch (CommunicatorException known) {
            throw known;
        } catch (LockstepException failure) {
            throw failed(tags.get(0), limit, failure);
        }
        last = tags.get(0);
        if (!isApart && device.isCapturing()) {
            repeated = limit;
            return;
        }
        if (!isApart) {
            device.backlog().add(called);
        }
        inFlight.add(tags, called, limit, stream(), isApart);
        if (isApart) {
            begun = System.nanoTime();
            own().await(() -> rank.look(0)); // how long this waits tells nothing of the rank's stream
        }
    }

    /** For who waits before anything is queued: throws the first cause if the group is dead. */
    void requireAlive(OperationTag tag) {
        life.requireAlive(tag);
    }

    /** What a rank sends itself, before the operation that it is of. */
    void copy(Buffer from, Buffer to) {
        long source = ((DeviceBuffer) from).address();
        long target = ((DeviceBuffer) to).address();
        if (source != target && from.length() > 0) {
            device.enter();
            device.copy(source, target, from.bytes(), stream());
        }
    }

    /** As {@link org.lockstep.collective.Carrier#apart}. */
    Runnable apart(Runnable operations) {
        device.enter();
        if (device.isCapturing()) {
            throw new IllegalStateException(
                    "operations of " + group + " cannot be queued while a graph of " + device + " is recorded");
        }
        OwnStream stream = own();
        CUevent mark = stream.mark();
        return () -> {
            device.enter();
            stream.begin(mark);
            beside = Thread.currentThread();
            try {
                operations.run();
            } finally {
                beside = null;
            }
        };
    }

    private synchronized OwnStream own() {
        OwnStream made = own;
        if (made == null) {
            if (ended) {
                throw new IllegalStateException("operations of " + group + " cannot be queued after its end");
            }
            made = OwnStream.open(device, highPriority);
            own = made;
        }
        return made;
    }

    /** What is known here of another rank, that rank's links know better. */
    private CommunicatorException failed(OperationTag tag, Duration deadline, LockstepException failure) {
        life.requireAlive(tag); // the first cause, where this is but its consequence
        boolean ofOthers = failure.code() == ErrorCode.COLLECTIVE_MISMATCH
                || failure.code() == ErrorCode.COLLECTIVE_TIMEOUT
                || failure.code() == ErrorCode.PEER_LOST;
        boolean askable = ofOthers && !tag.operation().isTransfer();
        return life.fail(tag, failure, askable ? Optional.of(deadline) : Optional.empty());
    }

    /**
     * Throws what has failed, here, at a peer or of the world. To be called after {@link #oldest}, which asks the device.
     *
     * @param waited for the rank's stream
     * @param turn whose operation that is at: the time of what is behind it does not run yet
     * @param now by {@link System#nanoTime}, when that was not asked yet
     */
    void look(long waited, DeviceQueues.Turn turn, long now) {
        InFlight.Entry oldest = inFlight.first();
        OperationTag tag = oldest == null ? last : oldest.first();
        boolean isOver = oldest == null && waited == 0 && !rank.isAborted();
        if (tag == null || (isOver && media.stream().noneMatch(Medium::hasFailed))) {
            return; // nothing was ever called, or what was is complete
        }
        Duration deadline = oldest == null ? Objects.requireNonNullElse(repeated, usual) : oldest.limit();
        life.requireAlive(tag);
        try {
            media.forEach(medium -> medium.check(tag));
        } catch (LockstepException failure) {
            throw failed(tag, deadline, failure);
        }
        if (Thread.currentThread().isInterrupted()) {
            throw life.fail(
                    tag,
                    new IllegalStateException("its thread was interrupted in " + tag + " in " + group),
                    Optional.empty());
        }
        if (under(oldest, waited, turn, now) > deadline.toNanos()) {
            throw failed(
                    tag,
                    deadline,
                    LockstepException.report(
                                    ErrorCode.COLLECTIVE_TIMEOUT,
                                    (oldest == null ? tag : oldest.called()) + " in " + group + " not complete on "
                                            + device + " in " + deadline.toMillis() / 1000.0 + " s")
                            .attempt(media.stream()
                                    .flatMap(medium -> medium.advice(tag).stream())
                                    .reduce("see the logs of the others", (before, last) -> last))
                            .exception());
        }
    }

    /**
     * For how long the device has been at the oldest of this group's. What a graph repeats has no event of its own: it is known by
     * how long the rank's stream is waited for with nothing else in it. What is in the own stream is for who queued it to say: that
     * thread is inside, and can ask the other ranks who does not come.
     */
    private long under(InFlight.@Nullable Entry oldest, long waited, DeviceQueues.Turn turn, long now) {
        if (oldest == null) {
            return repeated == null || turn.entry() != null ? 0 : Math.min(waited, now - turn.since());
        }
        if (!oldest.isApart()) {
            return oldest.equals(turn.entry()) ? now - turn.since() : 0;
        }
        if (!isApart()) {
            return 0;
        }
        if (turn.isBefore(oldest)) {
            begun = now;
        }
        return now - begun;
    }

    /** As {@link CudaDevice.Watch#allocated}. */
    void allocated(long address, long bytes) {
        media.forEach(medium -> medium.allocated(address, bytes));
    }

    /** As {@link CudaDevice.Watch#releasing}. */
    void releasing(long address) {
        media.forEach(medium -> medium.releasing(address));
    }

    /** What of this group the device has not come past, and was queued first. */
    Optional<InFlight.Entry> oldest() {
        return Optional.ofNullable(inFlight.oldest());
    }

    /** Whether graphs repeat what this group was given to do: how long that takes is looked after here. */
    boolean repeats() {
        return repeated != null;
    }

    List<OperationTag> underWay() {
        return inFlight.tags();
    }

    /** What is not complete by now will never be. */
    void abort() {
        inFlight.freeze();
        media.forEach(Medium::end);
    }

    /** Orderly end: all that was called is complete, or given up at a deadline, and no graph repeats it. Idempotent. */
    void close() {
        device.enter();
        device.synchronize();
        rank.dropGraphs();
        repeated = null;
        last = null; // all is complete: who waits for the device from now on waits for none of it
        closeOwn();
    }

    /** Frees what is left on the device, on its thread. Idempotent. */
    void forget() {
        inFlight.close();
        closeOwn();
    }

    private synchronized void closeOwn() {
        ended = true;
        OwnStream made = own;
        if (made != null) {
            made.close();
        }
    }
}
