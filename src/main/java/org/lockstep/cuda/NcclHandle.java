package org.lockstep.cuda;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.UniqueId;

/**
 * One rank's communicator in the hands of NCCL, which never blocks its caller: what a call began is waited for here, up to a
 * deadline, and can be ended from any thread.
 *
 * <p>Calls into NCCL exclude each other, {@link #abort} among them: none blocks, so an abort waits for none. Thread-safe.
 */
final class NcclHandle {
    // ncclConfig_t of 2.18.6, which every later library takes: what it lacks gets the library's defaults
    private static final int CONFIG_BYTES = 48;
    private static final int CONFIG_MAGIC = 0xcafebeef;
    private static final int CONFIG_VERSION = 21_806;
    private static final int UNDEFINED = Integer.MIN_VALUE; // NCCL_CONFIG_UNDEF_INT

    private static final long LOOK = TimeUnit.MICROSECONDS.toNanos(200);

    private final NcclLibrary library;
    private final Memory out; // NCCL writes to it after the call that was given it: it must outlive that
    private final Memory state = new Memory(Integer.BYTES);
    private boolean ended; // guarded by this

    private NcclHandle(NcclLibrary library, Memory out) {
        this.library = library;
        this.out = out;
    }

    /**
     * Begins to meet the other ranks of the group whose id this is, on the calling thread's device; {@link #await} says when
     * all have come.
     *
     * @param maxCtas of the device that its kernels take at most; 0 leaves it to NCCL
     */
    static NcclHandle begin(NcclLibrary library, UniqueId id, int ranks, int rank, int maxCtas) {
        Memory out = new Memory(Long.BYTES);
        out.setLong(0, 0);
        NcclFunctions.Id value = new NcclFunctions.Id();
        System.arraycopy(id.bytes(), 0, value.internal, 0, UniqueId.BYTES);
        try (Memory config = config(maxCtas)) {
            int result = NcclFunctions.ncclCommInitRankConfig(
                    Pointer.nativeValue(out), ranks, value, rank, Pointer.nativeValue(config));
            NcclHandle made = new NcclHandle(library, out);
            if (result != NcclResult.SUCCESS && result != NcclResult.IN_PROGRESS) {
                LockstepException failure = NcclResult.exception(result, "ncclCommInitRankConfig of " + library);
                made.abort();
                throw failure;
            }
            return made;
        }
    }

    private static Memory config(int maxCtas) {
        Memory config = new Memory(CONFIG_BYTES);
        config.setLong(0, CONFIG_BYTES);
        config.setInt(8, CONFIG_MAGIC);
        config.setInt(12, CONFIG_VERSION);
        config.setInt(16, 0); // blocking
        config.setInt(20, UNDEFINED); // cgaClusterSize
        config.setInt(24, UNDEFINED); // minCTAs
        config.setInt(28, maxCtas == 0 ? UNDEFINED : maxCtas);
        config.setLong(32, 0); // netName
        config.setInt(40, UNDEFINED); // splitShare
        config.setInt(44, UNDEFINED); // padding; trafficClass from 2.26 on
        return config;
    }

    /** An operation, given the communicator. */
    @FunctionalInterface
    interface Call {
        int on(long communicator);
    }

    /**
     * Calls NCCL, and waits until it has taken the call in.
     *
     * @throws LockstepException as {@link NcclResult#exception}; COLLECTIVE_TIMEOUT; ABORTED after {@link #abort}
     */
    void call(String name, Duration limit, Call call) {
        int result;
        synchronized (this) {
            result = call.on(address(name));
        }
        NcclResult.check(result, name);
        if (result == NcclResult.IN_PROGRESS) {
            await(limit, () -> name);
        }
    }

    /**
     * Waits until what was begun is no longer in progress. On any failure the communicator is still the caller's to abort.
     *
     * @throws LockstepException as {@link NcclResult#exception}; COLLECTIVE_TIMEOUT; ABORTED after {@link #abort}, and where
     *     the waiting thread is interrupted
     */
    void await(Duration limit, Supplier<String> name) {
        long start = System.nanoTime();
        while (!isReady(name.get())) {
            if (System.nanoTime() - start > limit.toNanos()) {
                throw LockstepException.report(
                                ErrorCode.COLLECTIVE_TIMEOUT,
                                name.get() + " of " + library + " not complete in " + limit.toMillis() + " ms")
                        .attempt("NCCL_DEBUG=INFO in the environment of the executors tells what it waits for")
                        .exception();
            }
            LockSupport.parkNanos(LOOK);
            if (Thread.currentThread().isInterrupted()) {
                throw LockstepException.report(ErrorCode.ABORTED, "the thread in " + name.get() + " was interrupted")
                        .exception();
            }
        }
    }

    /**
     * Whether nothing that was begun is in progress.
     *
     * @throws LockstepException what failed since, by itself or at a peer
     */
    synchronized boolean isReady(String name) {
        NcclResult.check(
                NcclFunctions.ncclCommGetAsyncError(address(name), Pointer.nativeValue(state)),
                "ncclCommGetAsyncError");
        int now = state.getInt(0);
        NcclResult.check(now, name);
        return now == NcclResult.SUCCESS;
    }

    private long address(String name) {
        long address = out.getLong(0);
        if (ended || address == 0) {
            throw LockstepException.report(ErrorCode.ABORTED, name + " on a communicator that was ended")
                    .exception();
        }
        return address;
    }

    /** Ends at once what it does, also on the device. Idempotent. */
    synchronized void abort() {
        long address = out.getLong(0);
        if (!ended && address != 0) {
            ended = true;
            NcclResult.check(NcclFunctions.ncclCommAbort(address), "ncclCommAbort");
        }
    }

    /**
     * Orderly end: waits for what was queued, then gives all back; aborts where that fails. Idempotent.
     *
     * @throws LockstepException as {@link #await}
     */
    void close(Duration limit) {
        synchronized (this) {
            if (ended) {
                return;
            }
        }
        boolean finalized = false;
        try {
            call("ncclCommFinalize", limit, NcclFunctions::ncclCommFinalize);
            finalized = true;
        } finally {
            if (!finalized) {
                abort();
            }
        }
        synchronized (this) {
            if (!ended) {
                ended = true;
                NcclResult.check(NcclFunctions.ncclCommDestroy(out.getLong(0)), "ncclCommDestroy");
            }
        }
    }

    @Override
    public String toString() {
        return "a communicator of " + library;
    }
}
