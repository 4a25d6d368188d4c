package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUevent;
import org.jspecify.annotations.Nullable;

/**
 * What was queued in a rank's stream and is not known to be complete. A driver takes about a thousand launches ahead of a device: who
 * brings one more waits inside it, where nobody could end that, so they {@link #await} here before. Thread-safe.
 */
final class Backlog implements AutoCloseable {
    /** Launches between two looks: up to twice as many, and what was counted since without one, are ahead. */
    private static final int STRIDE = 128;

    private static final int NAMES = 1024; // more than are ever ahead

    private final CudaDevice device;
    private final Object[] names = new Object[NAMES]; // by number; what follows is guarded by this, as these are
    private boolean recording;
    private long queued;
    private long done;
    private @Nullable Mark before; // at the last look
    private @Nullable Mark next;

    /** An event, and how much had been queued when it was recorded last. */
    private static final class Mark {
        private final CUevent event;
        private long count;

        Mark(CUevent event) {
            this.event = event;
        }
    }

    Backlog(CudaDevice device) {
        this.device = device;
    }

    /**
     * One more was queued; never waits.
     *
     * @param what errors call it by
     */
    synchronized void add(Object what) {
        if (!recording) {
            names[(int) (queued++ % NAMES)] = what;
        }
    }

    /** Whether what is added from now on is but recorded for a graph. */
    synchronized void recording(boolean on) {
        recording = on;
    }

    /** How much was queued so far: what is recorded after this stands behind that at least. */
    synchronized long count() {
        return queued;
    }

    /** The device has come past the first {@code count}. */
    synchronized void reached(long count) {
        done = Math.max(done, count);
    }

    /**
     * Waits where the device is far behind, as {@link CudaDevice#synchronize}; not for what is recorded for a graph. With no lock that
     * who would end the wait may need: what is held is held as long.
     */
    void await() {
        Mark reached;
        long count;
        synchronized (this) {
            if (queued - (before == null ? 0 : before.count) < STRIDE || device.isCapturing()) {
                return;
            }
            reached = before;
            count = reached == null ? 0 : reached.count;
            before = next == null ? new Mark(device.event()) : next;
            next = reached;
            before.count = queued;
            device.record(before.event);
        }
        if (reached != null) {
            device.await(reached.event, count);
        }
    }

    /** The device must be done with it. */
    @Override
    public synchronized void close() {
        List<Runnable> all = new ArrayList<>();
        for (Mark mark : new @Nullable Mark[] {before, next}) {
            if (mark != null) {
                all.add(() -> device.destroy(mark.event));
            }
        }
        before = null;
        next = null;
        Release.all(all);
    }

    /** What errors call that which is queued; empty where that is nothing. */
    @Override
    public synchronized String toString() {
        long ahead = queued - done;
        if (ahead == 0) {
            return "";
        }
        Object last = names[(int) ((queued - 1) % NAMES)];
        Object first = names[(int) (Math.max(done, queued - NAMES) % NAMES)];
        return ahead == 1 ? " (" + last + ")" : " (" + ahead + " kernels, from " + first + " to " + last + ")";
    }
}
