package org.lockstep.cuda;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import jcuda.driver.CUevent;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/**
 * A stream of one communicator beside that of its rank, for operations that another thread queues. Thread-safe.
 */
final class OwnStream implements AutoCloseable {
    private final CudaDevice device;
    private final CUstream stream;
    private final Deque<CUevent> free = new ArrayDeque<>(); // guarded by this
    private final Deque<CUevent> all = new ArrayDeque<>(); // guarded by this
    private boolean closed; // guarded by this

    private OwnStream(CudaDevice device, CUstream stream) {
        this.device = device;
        this.stream = stream;
    }

    /**
     * A new one, on a thread that has entered the device.
     *
     * @param highPriority whether the device's blocks that become free are first for what is queued here
     */
    static OwnStream open(CudaDevice device, boolean highPriority) {
        int[] least = new int[1];
        int[] greatest = new int[1];
        CudaError.check(JCudaDriver.cuCtxGetStreamPriorityRange(least, greatest), "cuCtxGetStreamPriorityRange");
        CUstream stream = new CUstream();
        CudaError.check(
                JCudaDriver.cuStreamCreateWithPriority(
                        stream, CUstream_flags.CU_STREAM_NON_BLOCKING, highPriority ? greatest[0] : least[0]),
                "cuStreamCreateWithPriority");
        return new OwnStream(device, stream);
    }

    CUstream stream() {
        return stream;
    }

    /** Where the rank's stream stands now, for one {@link #begin}. */
    synchronized CUevent mark() {
        CUevent event = free.poll();
        if (event == null) {
            event = device.event();
            all.add(event);
        }
        device.record(event);
        return event;
    }

    /** What is queued here from now on comes after all that the rank's stream had at the mark; after {@link #close} nothing is. */
    synchronized void begin(CUevent mark) {
        if (closed) {
            return;
        }
        CudaError.check(JCudaDriver.cuStreamWaitEvent(stream, mark, 0), "cuStreamWaitEvent");
        free.push(mark);
    }

    /**
     * Waits for all that was queued here, for nothing after {@link #close}: who aborts does not wait for who waits here.
     *
     * @param look called meanwhile, and after; what it throws ends the wait
     */
    void await(Runnable look) {
        DeviceWait.await(this::query, "cuStreamQuery", look);
    }

    /** Never of a stream that is no more. */
    private synchronized int query() {
        return closed ? CUresult.CUDA_SUCCESS : JCudaDriver.cuStreamQuery(stream);
    }

    /** On a thread that has entered the device. What is still queued ends as it does. Idempotent. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        List<Runnable> steps = new ArrayList<>();
        steps.add(() -> CudaError.check(JCudaDriver.cuStreamDestroy(stream), "cuStreamDestroy"));
        all.forEach(event -> steps.add(() -> device.destroy(event)));
        Release.all(steps);
    }
}
