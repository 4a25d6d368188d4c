package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUevent;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.OperationTag;
import org.lockstep.topology.ProcessGroup;

/**
 * What a rank's stream waits for that its peers' were given, as who waits for the device sees that: a wait for others is no fault of
 * this device, but what it is at between two of them is. Thread-safe.
 */
final class PeerWatch implements CudaDevice.Watch, AutoCloseable {
    /** Whose device it is says so by the deadline itself, and is heard before those that wait for it say anything. */
    private static final int DEADLINES = 2;

    private final CudaDevice device;
    private final Duration operation;
    private final ArrayDeque<Wait> waits = new ArrayDeque<>(); // oldest first; all is guarded by this
    private final ArrayDeque<CUevent> free = new ArrayDeque<>();
    private final List<CUevent> events = new ArrayList<>(); // all that were made
    private @Nullable Wait turn;
    private long since; // the turn is that one's

    /** The stream waits between two events, as a part of an operation of {@code group}. */
    private record Wait(OperationTag tag, ProcessGroup group, Carriers.Life life, CUevent before, CUevent after) {}

    /** @param operation how long one may take */
    PeerWatch(CudaDevice device, Duration operation) {
        this.device = device;
        this.operation = operation;
        device.watch(this);
    }

    /** What is queued next waits for peers; to be told when that was {@link #followed}. */
    synchronized CUevent mark() {
        CUevent event = free.poll();
        if (event == null) {
            event = device.event();
            events.add(event);
        }
        device.record(event);
        return event;
    }

    /** What was queued since {@code before} waits for peers, as a part of an operation of {@code group}. */
    synchronized void followed(CUevent before, OperationTag tag, ProcessGroup group, Carriers.Life life) {
        first(); // most of the time those before are over, and their events are used again
        waits.add(new Wait(tag, group, life, before, mark()));
    }

    /** The first that is not over. */
    private @Nullable Wait first() {
        Wait first = waits.peek();
        while (first != null && isReached(first.after())) {
            free.push(first.before());
            free.push(first.after());
            waits.remove();
            first = waits.peek();
        }
        return first;
    }

    /** A fault of the device is for who waits for it to see. */
    private static boolean isReached(CUevent event) {
        return JCudaDriver.cuEventQuery(event) == CUresult.CUDA_SUCCESS;
    }

    /** Throws the first cause if the group is dead: what waits here ends then, and lets go of what an abort needs. */
    @Override
    public synchronized void look(long waited) {
        long now = System.nanoTime(); // before it is asked, or a pause made it late
        Wait known = first();
        if (known == null || waited == 0) {
            return;
        }
        if (known.life().firstCause().isPresent()) {
            known.life().requireAlive(known.tag());
        }
        if (!known.equals(turn) || !isReached(known.before())) {
            turn = known;
            since = now;
        } else if (now - since > DEADLINES * operation.toNanos()) {
            throw LockstepException.report(
                            ErrorCode.COLLECTIVE_TIMEOUT,
                            known.tag() + " in " + known.group() + " not complete on " + device + " in "
                                    + DEADLINES * operation.toMillis() / 1000.0
                                    + " s: it waits for what devices of other ranks were given before")
                    .attempt(
                            "see the logs of the others; spark.lockstep.collective.timeout where their steps take so long")
                    .exception();
        }
    }

    @Override
    public synchronized boolean isBehindOthers() {
        Wait known = first();
        return known != null && isReached(known.before());
    }

    /** The device must be done with it. */
    @Override
    public synchronized void close() {
        device.unwatch(this);
        waits.clear();
        free.clear();
        Release.all(events.stream()
                .map(event -> (Runnable) () -> device.destroy(event))
                .toList());
        events.clear();
    }
}
