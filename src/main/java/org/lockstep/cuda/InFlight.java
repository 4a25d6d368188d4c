package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;
import jcuda.driver.CUevent;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.OperationTag;

/**
 * The operations of one group that were queued and that the device has not come past, oldest first: each has an event behind
 * it in its stream. What is recorded for a graph is none: it is queued by the graph's launch. Thread-safe.
 */
final class InFlight implements AutoCloseable {
    private final CudaDevice device;
    private final Deque<Entry> queue =
            new ConcurrentLinkedDeque<>(); // read by any thread, also while the driver blocks ours
    private final ArrayDeque<CUevent> free = new ArrayDeque<>();
    private volatile boolean frozen;
    private boolean closed;

    /**
     * Operations that are carried out together.
     *
     * @param tags at least one
     * @param called what errors call them
     * @param since when they were queued, by {@link System#nanoTime}
     * @param limit how long after that they are to be complete
     * @param isApart whether that was in another stream than the rank's
     */
    record Entry(List<OperationTag> tags, Object called, CUevent event, long since, Duration limit, boolean isApart) {
        OperationTag first() {
            return tags.get(0);
        }
    }

    InFlight(CudaDevice device) {
        this.device = device;
    }

    /** They were queued just now, behind those before. */
    synchronized void add(List<OperationTag> tags, Object called, Duration limit, CUstream stream, boolean isApart) {
        if (frozen) {
            return;
        }
        oldest(); // most of the time the one before is complete, and its event is used again
        CUevent event = free.poll();
        if (event == null) {
            event = device.event();
        }
        device.record(event, stream);
        queue.add(new Entry(tags, called, event, System.nanoTime(), limit, isApart));
    }

    /** The first that is not complete; a fault of the device is for who waits for it to see. */
    synchronized @Nullable Entry oldest() {
        Entry first = queue.peek();
        while (!frozen && first != null && JCudaDriver.cuEventQuery(first.event()) == 0) {
            free.push(queue.remove().event());
            first = queue.peek();
        }
        return first;
    }

    /** The first that was not complete when that was asked last. */
    @Nullable
    Entry first() {
        return queue.peek();
    }

    /** All that are not known to be complete. */
    List<OperationTag> tags() {
        List<OperationTag> all = new ArrayList<>();
        queue.forEach(entry -> all.addAll(entry.tags()));
        return all;
    }

    /** What is not complete by now will never be. */
    void freeze() {
        frozen = true;
    }

    /** Forgets the events; the tags stay. On the device's thread. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        frozen = true;
        List<Runnable> all = new ArrayList<>();
        free.forEach(event -> all.add(() -> device.destroy(event)));
        free.clear();
        queue.forEach(entry -> all.add(() -> device.destroy(entry.event())));
        Release.all(all);
    }
}
