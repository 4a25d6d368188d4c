package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUevent;
import org.jspecify.annotations.Nullable;

/**
 * How far the launches of a rank are ahead of its device. A driver takes about a thousand: who brings one more waits inside it, where
 * nobody could end that, so they wait here before. Confined to the rank's thread.
 */
final class Backlog implements AutoCloseable {
    /** Launches between two looks: up to twice as many are ahead. */
    private static final int STRIDE = 256;

    private final CudaDevice device;
    private @Nullable CUevent before; // behind the launch at the last look
    private @Nullable CUevent next;
    private int launches;

    Backlog(CudaDevice device) {
        this.device = device;
    }

    /** One more was queued. What is recorded for a graph is not. */
    void add() {
        if (++launches % STRIDE == 0 && !device.isCapturing()) {
            CUevent reached = before;
            if (reached != null) {
                device.await(reached);
            }
            CUevent free = next;
            before = free == null ? device.event() : free;
            next = reached;
            device.record(before);
        }
    }

    /** The device must be done with them. */
    @Override
    public void close() {
        List<Runnable> all = new ArrayList<>();
        for (CUevent event : new @Nullable CUevent[] {before, next}) {
            if (event != null) {
                all.add(() -> device.destroy(event));
            }
        }
        before = null;
        next = null;
        Release.all(all);
    }
}
