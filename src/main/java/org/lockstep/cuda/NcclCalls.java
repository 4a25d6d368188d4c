package org.lockstep.cuda;

import java.lang.ref.Reference;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The calls of one rank into NCCL, one at a time, and the one abort of all its communicators: together, for one whose kernel
 * waits in the stream behind another's cannot end before that, and never while a call is inside. Thread-safe.
 *
 * <p>NCCL aborts in a thread of its own here: it tells its kernels to end at once, and then stays, from 2.27 on, until no CUDA graph
 * holds one of them, however long that is.
 */
final class NcclCalls {
    /** None of the calls that are made inside blocks: who does not come out by then is in the driver. */
    private static final Duration PATIENCE = Duration.ofMillis(500);

    private final ThreadFactory threads;
    private final ReentrantLock lock = new ReentrantLock();
    private final List<NcclHandle> handles = new ArrayList<>(); // guarded by lock
    private @Nullable Aborting next; // of all; guarded by lock
    private final List<Thread> aborting = new CopyOnWriteArrayList<>();
    private volatile boolean aborted;

    NcclCalls() {
        this(body -> new Thread(body, "lockstep-nccl-abort"));
    }

    /** @param threads makes those that abort */
    NcclCalls(ThreadFactory threads) {
        this.threads = threads;
    }

    /** A thread that aborts what it is given, once. */
    private static final class Aborting {
        private final CompletableFuture<List<NcclHandle>> given = new CompletableFuture<>();
        private final Thread thread;

        /** @throws OutOfMemoryError where the machine has no thread for it */
        Aborting(ThreadFactory threads) {
            thread = threads.newThread(() -> abortTogether(given.join()));
            thread.setDaemon(true);
            thread.start();
        }
    }

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

    /**
     * Begins a communicator, when there is what its abort needs: by then there may be no thread to be had.
     *
     * @throws OutOfMemoryError where there is none now; nothing was begun then
     */
    int begin(NcclHandle handle, IntSupplier init) {
        return call(() -> {
            next = next == null ? new Aborting(threads) : next;
            int result = init.getAsInt();
            handles.add(handle);
            return result;
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

    /** Ends what all of them do, also on the device, and waits for that no longer than {@link #PATIENCE}. From any thread. Idempotent. */
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

    /**
     * The same of one alone: for one that is the rank's only one, or was never in use. Where there is no thread for it, it is left to the
     * abort of all.
     */
    void abort(NcclHandle handle) {
        call(() -> {
            if (handles.contains(handle)) {
                try {
                    end(new Aborting(threads), List.of(handle));
                    handles.remove(handle);
                } catch (OutOfMemoryError noThread) {
                    return NcclResult.SUCCESS;
                }
            }
            return NcclResult.SUCCESS;
        });
    }

    private void leave() {
        try {
            Aborting all = next;
            if (aborted && all != null && lock.getHoldCount() == 1) {
                next = null;
                end(all, handles);
                handles.clear();
            }
        } finally {
            lock.unlock();
        }
    }

    /** With the lock. Who calls from now on is told that they are ended: nobody is in NCCL with them beside their end. */
    private void end(Aborting one, List<NcclHandle> several) {
        aborting.add(one.thread);
        one.given.complete(several.stream().filter(NcclHandle::end).toList());
    }

    /** What NCCL says of it is of no use. */
    private static void abortTogether(List<NcclHandle> all) {
        if (all.isEmpty()) {
            return;
        }
        try {
            NcclFunctions.ncclGroupStart();
            all.forEach(each -> NcclFunctions.ncclCommAbort(each.address()));
            NcclFunctions.ncclGroupEnd();
        } finally {
            Reference.reachabilityFence(all); // NCCL may write where it was told to as long as it is there
        }
    }

    /**
     * Waits, also on an interrupted thread, until NCCL is done with all that was aborted.
     *
     * @return whether it is within {@code limit}
     */
    boolean await(Duration limit) {
        long end = System.nanoTime() + limit.toNanos();
        boolean interrupted = Thread.interrupted();
        try {
            for (Thread each : aborting) {
                each.join(Math.max(1, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())));
            }
        } catch (InterruptedException again) {
            interrupted = true; // twice is enough
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
        return aborting.stream().noneMatch(Thread::isAlive);
    }
}
