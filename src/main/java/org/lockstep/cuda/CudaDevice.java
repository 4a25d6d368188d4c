package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntSupplier;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureStatus;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * One rank's hold on a device: its primary context, which all ranks of the process and the libraries share, and a stream of
 * its own.
 *
 * <p>Whatever is done is done between {@link #enter} and the end of the caller's turn, on any thread; the stream keeps the
 * order. Not thread-safe but for that.
 */
final class CudaDevice implements AutoCloseable {
    /** How long what is queued may take to end before what it uses is given back. */
    static final Duration PATIENCE = Duration.ofSeconds(30);

    private static final String IF_SLOW =
            "raise spark.lockstep.collective.timeout if a step takes so long, or let it have fewer tokens"
                    + " (--max-num-batched-tokens); else ";

    private static final long REST = TimeUnit.MICROSECONDS.toNanos(20);

    private final VisibleDevice seen;
    private final CUdevice device;
    private final CUcontext context;
    private final CUstream stream;
    private final Map<Long, Long> memory = new ConcurrentHashMap<>(); // what is allocated: address to bytes
    private final DeviceWait wait = new DeviceWait();
    private final Backlog backlog = new Backlog(this);
    private volatile boolean givenUp;
    private boolean closed;

    /**
     * What is asked while somebody waits for the device, and after: whether what is queued can still come to its end. Told of the
     * device's memory, too.
     */
    @FunctionalInterface
    interface Watch {
        /**
         * Throws what has failed.
         *
         * @param waited since when somebody waits, in nanoseconds
         */
        void look(long waited);

        /** Whether, when that was called last, what is waited for was behind what others have a part in, which has deadlines of its own. */
        default boolean isBehindOthers() {
            return false;
        }

        /** There is more memory now. */
        default void allocated(long address, long bytes) {}

        /** Memory is about to go back to the driver, and nothing that is queued uses it. */
        default void releasing(long address) {}
    }

    private CudaDevice(VisibleDevice seen, CUdevice device, CUcontext context, CUstream stream) {
        this.seen = seen;
        this.device = device;
        this.context = context;
        this.stream = stream;
    }

    /** Takes hold of a device that {@link CudaDriver} has seen. */
    static CudaDevice open(VisibleDevice seen) {
        CUdevice device = new CUdevice();
        CudaError.check(JCudaDriver.cuDeviceGet(device, seen.ordinal()), "cuDeviceGet");
        CUcontext context = new CUcontext();
        CudaError.check(
                JCudaDriver.cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain of " + seen.gpu());
        boolean opened = false;
        try {
            CudaError.check(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent");
            CUstream stream = new CUstream();
            CudaError.check(
                    JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING), "cuStreamCreate");
            opened = true;
            return new CudaDevice(seen, device, context, stream);
        } finally {
            if (!opened) {
                JCudaDriver.cuDevicePrimaryCtxRelease(device);
            }
        }
    }

    VisibleDevice seen() {
        return seen;
    }

    /** Makes this thread one that works on the device. */
    void enter() {
        if (closed) {
            throw new IllegalStateException("the device " + seen.gpu() + " was closed");
        }
        if (givenUp) {
            throw lost();
        }
        CudaError.check(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent");
    }

    CUstream stream() {
        return stream;
    }

    /** Lets {@code other} be asked too from now on. Idempotent. */
    void watch(Watch other) {
        wait.watches().addIfAbsent(other);
    }

    /** Undoes {@link #watch}. Idempotent. */
    void unwatch(Watch other) {
        wait.watches().remove(other);
    }

    /** Lets what is the device's own take so long at most while somebody waits for it, from now on; else ten minutes. */
    void limit(Duration other) {
        wait.limit(other);
    }

    /** What was queued in the rank's stream: whoever queues adds to it. */
    Backlog backlog() {
        return backlog;
    }

    /**
     * Waits for everything that was queued. What does not end in the {@link #limit} is given up, as by {@link #finish}.
     *
     * @throws LockstepException DEVICE_LOST then; ABORTED where the thread is interrupted; what the {@link Watch} throws
     */
    void synchronize() {
        await(() -> JCudaDriver.cuStreamQuery(stream), "cuStreamQuery", backlog.count());
    }

    private void await(IntSupplier query, String call, long behind) {
        if (!wait.until(query, call, this)) {
            givenUp = true;
            throw lost(" in " + wait.limit().toMillis() / 1000.0 + " s", IF_SLOW + CudaError.NEEDS_ANOTHER_PROCESS);
        }
        backlog.reached(behind);
    }

    /**
     * Waits for everything that was queued, so long. The device is asked after that time too: this thread may itself have stood still
     * since it was asked before. No interrupt ends it, nor is lost.
     *
     * @param look called meanwhile; what it throws ends the wait
     * @return whether it is complete
     */
    boolean synchronize(Duration limit, Runnable look) {
        long start = System.nanoTime();
        int result = JCudaDriver.cuStreamQuery(stream);
        boolean isLate = limit.isZero();
        boolean interrupted = false;
        try {
            while (result == CUresult.CUDA_ERROR_NOT_READY && !isLate) {
                look.run(); // which sees the flag, if it wants to
                interrupted |= Thread.interrupted(); // else nothing below rests
                LockSupport.parkNanos(REST);
                isLate = System.nanoTime() - start >= limit.toNanos();
                result = JCudaDriver.cuStreamQuery(stream);
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
        if (result == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        CudaError.check(result, "cuStreamQuery");
        return true;
    }

    /** As below, at most {@link #PATIENCE}. */
    void finish() {
        finish(PATIENCE);
    }

    /**
     * Waits for everything that was queued, before what it uses is given back. What does not end in that time never will: this hold
     * is given up, for whoever frees something of a device that is at work waits for it in the driver, where nobody can end that.
     *
     * @throws LockstepException DEVICE_LOST then, and from now on where it is used; what is given back stays with the process
     */
    void finish(Duration limit) {
        long queued = backlog.count();
        givenUp = givenUp || !synchronize(limit, () -> {});
        if (givenUp) {
            throw lost();
        }
        backlog.reached(queued);
    }

    /** Whether something that was queued has not come to its end, and never will. */
    boolean isGivenUp() {
        return givenUp;
    }

    private LockstepException lost() {
        return lost("", CudaError.NEEDS_ANOTHER_PROCESS);
    }

    private LockstepException lost(String when, String advice) {
        long bytes = memory.values().stream().mapToLong(Long::longValue).sum();
        return LockstepException.report(
                        ErrorCode.DEVICE_LOST,
                        String.format(
                                Locale.ROOT,
                                "what was queued on %s%s does not come to its end%s: %,d bytes of it, and its stream, stay"
                                        + " with this process",
                                this,
                                backlog,
                                when,
                                bytes))
                .attempt(advice)
                .exception();
    }

    /**
     * Waits for an event that was recorded in the rank's stream; as {@link #synchronize}.
     *
     * @param behind so much had been queued by then, at least ({@link Backlog#count})
     */
    void await(CUevent event, long behind) {
        await(() -> JCudaDriver.cuEventQuery(event), "cuEventQuery", behind);
    }

    /** An event of this device, without a time; the caller destroys it. */
    CUevent event() {
        CUevent made = new CUevent();
        CudaError.check(JCudaDriver.cuEventCreate(made, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        return made;
    }

    void destroy(CUevent event) {
        if (givenUp) {
            return;
        }
        CudaError.check(JCudaDriver.cuEventDestroy(event), "cuEventDestroy");
    }

    /** Lets {@code event} stand for what was queued so far. */
    void record(CUevent event) {
        record(event, stream);
    }

    /** The same of a stream beside the rank's. */
    void record(CUevent event, CUstream stream) {
        CudaError.check(JCudaDriver.cuEventRecord(event, stream), "cuEventRecord");
    }

    /** Lets what is queued from now on wait for an event that was recorded, here or on another device. */
    void follow(CUevent event) {
        CudaError.check(JCudaDriver.cuStreamWaitEvent(stream, event, 0), "cuStreamWaitEvent");
        backlog.add("a wait for another device");
    }

    /** The devices whose memory kernels here may read. */
    PeerAccess peers() {
        return new PeerAccess(seen, device, context);
    }

    /** Whether what is queued now is recorded for a graph. */
    boolean isCapturing() {
        int[] status = new int[1];
        CudaError.check(JCudaDriver.cuStreamIsCapturing(stream, status), "cuStreamIsCapturing");
        return status[0] != CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE;
    }

    /** Memory that the driver could still give, of all processes together. */
    long free() {
        enter();
        long[] free = new long[1];
        long[] total = new long[1];
        CudaError.check(JCudaDriver.cuMemGetInfo(free, total), "cuMemGetInfo");
        return free[0];
    }

    /** So many bytes of device memory; 0 where the driver has them not. */
    long allocate(long bytes) {
        CUdeviceptr made = new CUdeviceptr();
        int result = JCudaDriver.cuMemAlloc(made, bytes);
        if (result == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
            return 0;
        }
        CudaError.check(result, "cuMemAlloc of " + bytes + " bytes");
        long address = Raw.address(made);
        memory.put(address, bytes);
        wait.watches().forEach(watch -> watch.allocated(address, bytes));
        return address;
    }

    void release(long address) {
        if (givenUp) {
            return;
        }
        wait.watches().forEach(watch -> watch.releasing(address));
        memory.remove(address);
        CudaError.check(JCudaDriver.cuMemFree(Raw.device(address)), "cuMemFree");
    }

    /** All that is allocated now, address to bytes. */
    Map<Long, Long> memory() {
        return Map.copyOf(memory);
    }

    /** Host memory that stays where it is, so that the device reads and writes it by itself. */
    Pointer allocatePinned(long bytes) {
        Pointer made = new Pointer();
        CudaError.check(JCudaDriver.cuMemHostAlloc(made, bytes, 0), "cuMemHostAlloc of " + bytes + " bytes");
        return made;
    }

    void releasePinned(Pointer memory) {
        if (givenUp) {
            return;
        }
        CudaError.check(JCudaDriver.cuMemFreeHost(memory), "cuMemFreeHost");
    }

    void copyUp(Pointer pinned, long address, long bytes) {
        CudaError.check(JCudaDriver.cuMemcpyHtoDAsync(Raw.device(address), pinned, bytes, stream), "cuMemcpyHtoDAsync");
    }

    void copyDown(long address, Pointer pinned, long bytes) {
        CudaError.check(JCudaDriver.cuMemcpyDtoHAsync(pinned, Raw.device(address), bytes, stream), "cuMemcpyDtoHAsync");
    }

    /** To its memory, from a part of it that is apart, or from memory of a device that it reaches. */
    void copy(long from, long to, long bytes) {
        copy(from, to, bytes, stream);
        backlog.add("a copy");
    }

    /** The same in a stream beside the rank's. */
    void copy(long from, long to, long bytes, CUstream stream) {
        CudaError.check(
                JCudaDriver.cuMemcpyDtoDAsync(Raw.device(to), Raw.device(from), bytes, stream), "cuMemcpyDtoDAsync");
    }

    void zero(long address, long bytes) {
        CudaError.check(JCudaDriver.cuMemsetD8Async(Raw.device(address), (byte) 0, bytes, stream), "cuMemsetD8Async");
        backlog.add("zeros");
    }

    /** Waits for what was queued and lets go, also after a fault; of what was given up, of nothing. Idempotent. */
    @Override
    public void close() {
        if (closed || givenUp) {
            return;
        }
        closed = true;
        Release.all(List.of(
                () -> CudaError.check(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent"),
                this::finish,
                backlog::close,
                () -> letGo(() -> JCudaDriver.cuStreamDestroy(stream), "cuStreamDestroy"),
                () -> letGo(() -> JCudaDriver.cuDevicePrimaryCtxRelease(device), "cuDevicePrimaryCtxRelease")));
    }

    private void letGo(IntSupplier how, String call) {
        if (!givenUp) {
            CudaError.check(how.getAsInt(), call);
        }
    }

    @Override
    public String toString() {
        return seen.toString();
    }
}
