package org.lockstep.cuda;

import java.time.Duration;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntSupplier;
import jcuda.driver.CUresult;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.OperationTerms;

/**
 * How a rank waits for its device: by asking it, for nobody could end a wait inside the driver. Whoever waits looks after what other
 * ranks have a part in ({@link CudaDevice.Watch}); what is the device's own ends at a deadline, and either where the waiting thread is
 * interrupted. Thread-safe.
 */
final class DeviceWait {
    private static final long SPIN = TimeUnit.MICROSECONDS.toNanos(200);

    /** Steps of decoding are mostly over by then: who sleeps wakes a part of a tenth of a millisecond too late. */
    private static final long YIELD = TimeUnit.MILLISECONDS.toNanos(10);

    /** Between two looks, each of which asks for more than the one thing that is waited for. */
    private static final long LOOK = TimeUnit.MICROSECONDS.toNanos(50);

    private static final long REST = TimeUnit.MICROSECONDS.toNanos(20);

    private volatile Duration limit = OperationTerms.DEFAULT.timeout();
    private final CopyOnWriteArrayList<CudaDevice.Watch> watches = new CopyOnWriteArrayList<>();

    /** How long the device may be at what is its own, from now on. */
    void limit(Duration other) {
        limit = other;
    }

    Duration limit() {
        return limit;
    }

    /** Who is asked while somebody waits. */
    CopyOnWriteArrayList<CudaDevice.Watch> watches() {
        return watches;
    }

    private void look(long waited) {
        watches.forEach(watch -> watch.look(waited));
    }

    /**
     * Waits until what {@code query} asks for is complete.
     *
     * @param call that it makes, and {@code name} of the device, in errors
     * @return false where the device was at what is its own for longer than the limit
     * @throws LockstepException what the device failed of; ABORTED where the waiting thread is interrupted; what a watch throws
     */
    boolean until(IntSupplier query, String call, Object name) {
        long start = System.nanoTime();
        long own = start; // since when it is at that
        long next = start; // look
        for (long now = start;
                !isComplete(query, call);
                now = System.nanoTime()) { // before it is asked, or a pause made it late
            if (now - next >= 0) {
                look(System.nanoTime() - start);
                own = watches.stream().anyMatch(CudaDevice.Watch::isBehindOthers) ? now : own;
                if (now - own > limit.toNanos()) {
                    return false;
                }
                requireNoInterrupt(name);
                next = System.nanoTime() + LOOK;
            }
            pause(now - start);
        }
        look(0); // it may have come to its end because it was aborted
        return true;
    }

    /**
     * Waits for what has deadlines of its own.
     *
     * @param look called meanwhile, and after; what it throws ends the wait
     */
    static void await(IntSupplier query, String call, Runnable look) {
        long start = System.nanoTime();
        long next = start; // look
        while (!isComplete(query, call)) {
            long now = System.nanoTime();
            if (now - next >= 0) {
                look.run();
                next = System.nanoTime() + LOOK;
            }
            pause(now - start);
        }
        look.run();
    }

    private static void requireNoInterrupt(Object name) {
        if (Thread.currentThread().isInterrupted()) {
            throw LockstepException.report(ErrorCode.ABORTED, "the thread that waits for " + name + " was interrupted")
                    .cause(new InterruptedException()) // no failure of the rank's own
                    .exception();
        }
    }

    private static boolean isComplete(IntSupplier query, String call) {
        int result = query.getAsInt();
        if (result == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        CudaError.check(result, call);
        return true;
    }

    @SuppressWarnings("ThreadPriorityCheck") // a hint: the device is asked again either way
    private static void pause(long waited) {
        if (waited < SPIN) {
            Thread.onSpinWait();
        } else if (waited < YIELD) {
            Thread.yield();
        } else {
            LockSupport.parkNanos(REST);
        }
    }
}
