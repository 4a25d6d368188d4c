package org.lockstep.cuda;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntSupplier;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.UniqueId;

/**
 * One rank's communicator in the hands of NCCL, which never blocks its caller: what a call began is waited for here, up to a
 * deadline, and can be ended from any thread, by {@link NcclCalls#abort}. Thread-safe.
 */
final class NcclHandle {
    /** NCCL takes a call in beside its caller, by a thread that it starts: mostly that is over before a pause would be. */
    private static final long SPIN = TimeUnit.MICROSECONDS.toNanos(200);

    private static final long LOOK = TimeUnit.MICROSECONDS.toNanos(200);

    private final NcclLibrary library;
    private final NcclCalls calls;
    private final Memory out; // NCCL writes to it after the call that was given it: it must outlive that
    private final Memory state = new Memory(Integer.BYTES);
    private final Map<Long, Long> registered = new HashMap<>(); // address to NCCL's handle; inside calls only
    private boolean ended; // inside calls only

    private NcclHandle(NcclLibrary library, NcclCalls calls, Memory out) {
        this.library = library;
        this.calls = calls;
        this.out = out;
    }

    /**
     * Begins to meet the other ranks of the group whose id this is, on the calling thread's device; {@link #await} says when
     * all have come.
     *
     * @param calls of the rank
     * @param config of the communicator
     * @throws OutOfMemoryError as {@link NcclCalls#begin}
     */
    static NcclHandle begin(NcclLibrary library, NcclCalls calls, UniqueId id, int ranks, int rank, NcclConfig config) {
        Memory out = new Memory(Long.BYTES);
        out.setLong(0, 0);
        NcclFunctions.Id value = new NcclFunctions.Id();
        System.arraycopy(id.bytes(), 0, value.internal, 0, UniqueId.BYTES);
        NcclHandle made = new NcclHandle(library, calls, out);
        try (Memory structure = config.structure()) {
            int result = calls.begin(
                    made,
                    () -> NcclFunctions.ncclCommInitRankConfig(
                            Pointer.nativeValue(out), ranks, value, rank, Pointer.nativeValue(structure)));
            if (result != NcclResult.SUCCESS && result != NcclResult.IN_PROGRESS) {
                LockstepException failure = NcclResult.exception(result, "ncclCommInitRankConfig of " + library);
                made.abort();
                throw failure;
            }
            return made;
        }
    }

    /** An operation, given the communicator. */
    @FunctionalInterface
    interface Call {
        int on(long communicator);
    }

    /**
     * Calls NCCL, and waits until it has taken the call in: what is called next finds it in its stream, and a graph that is being
     * recorded has it. From 2.22 on the first calls wait for other ranks, for they are connected by them.
     *
     * @param name of the operation in errors
     * @param look as in {@link #await}
     * @throws LockstepException as {@link #await}
     */
    void call(Object name, Duration limit, Runnable look, Call call) {
        taken(name, limit, look, calls.call(() -> call.on(address(name))));
    }

    /** The same, of calls that belong together; each returns its result, the first that is not success ends them. */
    void group(Object name, Duration limit, Runnable look, Call call) {
        taken(name, limit, look, calls.group(() -> call.on(address(name))));
    }

    private void taken(Object name, Duration limit, Runnable look, int result) {
        if (result == NcclResult.SUCCESS) {
            return;
        }
        NcclResult.check(result, name.toString());
        await(name, limit, look);
    }

    /**
     * Waits until what was begun is no longer in progress. On any failure the communicator is still the caller's to abort.
     *
     * @param look called meanwhile; what it throws ends the wait
     * @throws LockstepException as {@link NcclResult#exception}; COLLECTIVE_TIMEOUT; ABORTED after the end, and where the
     *     waiting thread is interrupted
     */
    void await(Object name, Duration limit, Runnable look) {
        if (!awaitFor(name, limit, look)) {
            throw late(name, limit, "");
        }
    }

    /** What was begun is not complete: {@code how} is more of that. */
    LockstepException late(Object name, Duration limit, String how) {
        return LockstepException.report(
                        ErrorCode.COLLECTIVE_TIMEOUT,
                        name + " of " + library + " not complete in " + limit.toMillis() / 1000.0 + " s" + how)
                .attempt("NCCL_DEBUG=INFO in the environment of the executors tells what it waits for; if that is a"
                        + " network that does not reach, NCCL_SOCKET_IFNAME there names the interface, which NCCL"
                        + " else chooses itself")
                .exception();
    }

    /** As {@link #await}. @return whether it is no longer in progress within {@code limit} */
    boolean awaitFor(Object name, Duration limit, Runnable look) {
        long start = System.nanoTime();
        for (long now = start; !isReady(name); now = System.nanoTime()) { // before it is asked, or a pause made it late
            look.run();
            if (now - start > limit.toNanos()) {
                return false;
            }
            if (now - start < SPIN) {
                Thread.onSpinWait();
            } else {
                LockSupport.parkNanos(LOOK);
            }
            if (Thread.currentThread().isInterrupted()) {
                throw LockstepException.report(ErrorCode.ABORTED, "the thread in " + name + " was interrupted")
                        .exception();
            }
        }
        return true;
    }

    /**
     * Whether nothing that was begun is in progress.
     *
     * @throws LockstepException what failed since, by itself or at a peer
     */
    boolean isReady(Object name) {
        int[] now = new int[1];
        IntSupplier ask = () -> {
            int result = NcclFunctions.ncclCommGetAsyncError(address(name), Pointer.nativeValue(state));
            now[0] = state.getInt(0);
            return result;
        };
        NcclResult.check(calls.call(ask), "ncclCommGetAsyncError");
        if (now[0] == NcclResult.SUCCESS) {
            return true;
        }
        NcclResult.check(now[0], name.toString());
        return false;
    }

    private long address(Object name) {
        long address = address();
        if (ended || address == 0) {
            throw LockstepException.report(ErrorCode.ABORTED, name + " on a communicator that was ended")
                    .exception();
        }
        return address;
    }

    /** As NCCL knows it; 0 for none. */
    long address() {
        return out.getLong(0);
    }

    /**
     * Lets NCCL reach so many bytes of the device's memory without copies of its own, once, until {@link #deregister} or the end:
     * an abort gives back what is registered itself. After the end nothing is.
     *
     * @throws LockstepException as {@link NcclResult#exception}
     */
    void register(long address, long bytes) {
        try (Memory made = new Memory(Long.BYTES)) {
            IntSupplier register = () -> {
                if (ended || registered.containsKey(address)) {
                    return NcclResult.SUCCESS;
                }
                int result = NcclFunctions219.ncclCommRegister(address(), address, bytes, Pointer.nativeValue(made));
                if (result == NcclResult.SUCCESS) {
                    registered.put(address, made.getLong(0));
                }
                return result;
            };
            NcclResult.check(calls.call(register), "ncclCommRegister of " + bytes + " bytes by " + this);
        }
    }

    /** Takes memory back that may have been registered: what the device still does must not use it. As {@link #register}. */
    void deregister(long address) {
        NcclResult.check(
                calls.call(() -> {
                    Long handle = registered.remove(address);
                    return ended || handle == null
                            ? NcclResult.SUCCESS
                            : NcclFunctions219.ncclCommDeregister(address(), handle);
                }),
                "ncclCommDeregister by " + this);
    }

    private List<Long> registered() {
        List<Long> all = new ArrayList<>();
        calls.call(() -> {
            all.addAll(registered.keySet());
            return NcclResult.SUCCESS;
        });
        return all;
    }

    /** As {@link NcclCalls#abort(NcclHandle)}. Idempotent. */
    void abort() {
        calls.abort(this);
    }

    /** Inside calls: lets no other begin. @return whether NCCL is to be told of the end, by who asks */
    boolean end() {
        boolean mine = !ended && address() != 0;
        ended = true;
        return mine;
    }

    /**
     * Orderly end: waits for what was queued, and until no CUDA graph holds any of it, then gives all back; aborts where that fails.
     * Idempotent.
     *
     * @throws LockstepException as {@link #await}
     */
    void close(Duration limit) {
        boolean[] over = new boolean[1];
        calls.call(() -> {
            over[0] = ended;
            return NcclResult.SUCCESS;
        });
        if (over[0]) {
            return;
        }
        boolean finalized = false;
        try {
            registered().forEach(this::deregister);
            call("ncclCommFinalize", limit, () -> {}, NcclFunctions::ncclCommFinalize);
            finalized = true;
        } finally {
            if (!finalized) {
                abort();
            }
        }
        boolean[] mine = new boolean[1];
        calls.call(() -> {
            mine[0] = end();
            return NcclResult.SUCCESS;
        });
        calls.remove(this);
        if (mine[0]) { // outside of calls: it blocks, and nobody who aborts is to wait for that
            NcclResult.check(NcclFunctions.ncclCommDestroy(address()), "ncclCommDestroy");
        }
    }

    @Override
    public String toString() {
        return "a communicator of " + library;
    }
}
