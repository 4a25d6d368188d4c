package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;

/**
 * The calls of one rank into NCCL, one at a time, and the one abort of all its communicators: together, for one whose kernel
 * waits in the stream behind another's cannot end before that, and never while a call is inside. Thread-safe.
 */
final class NcclCalls {
    /** None of the calls blocks: who does not come out by then is in the driver, whose queue is full. */
    private static final Duration PATIENCE = Duration.ofMillis(500);

    private final ReentrantLock lock = new ReentrantLock();
    private final List<NcclHandle> handles = new ArrayList<>(); // guarded by lock
    private volatile boolean aborted;

    /** Calls, while no other does. */
    int call(IntSupplier body) {
        lock.lock();
        try {
            return body.getAsInt();
        } finally {
            leave();
        }
    }

    /** The result of several calls that belong together, or the first failure among them. */
    int group(IntSupplier body) {
        return call(() -> {
            int started = NcclFunctions.ncclGroupStart();
            if (started != NcclResult.SUCCESS) {
                return started;
            }
            int result = NcclResult.SUCCESS;
            int ended;
            try {
                result = body.getAsInt();
            } finally {
                ended = NcclFunctions.ncclGroupEnd();
            }
            return result == NcclResult.SUCCESS || result == NcclResult.IN_PROGRESS ? ended : result;
        });
    }

    void add(NcclHandle handle) {
        call(() -> {
            handles.add(handle);
            return NcclResult.SUCCESS;
        });
    }

    void remove(NcclHandle handle) {
        call(() -> {
            handles.remove(handle);
            return NcclResult.SUCCESS;
        });
    }

    boolean isAborted() {
        return aborted;
    }

    /** Ends at once what all of them do, also on the device. From any thread; what NCCL says of it is of no use. Idempotent. */
    void abort() {
        aborted = true;
        boolean mine = false;
        try {
            mine = lock.tryLock(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            mine = lock.tryLock();
        }
        if (mine) { // else who is inside does it on the way out
            leave();
        }
    }

    private void leave() {
        try {
            if (aborted && lock.getHoldCount() == 1 && !handles.isEmpty()) {
                List<NcclHandle> all = List.copyOf(handles);
                handles.clear();
                NcclFunctions.ncclGroupStart();
                all.forEach(NcclHandle::abortInside);
                NcclFunctions.ncclGroupEnd();
            }
        } finally {
            lock.unlock();
        }
    }
}
