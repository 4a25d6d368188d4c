package org.lockstep.cuda;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.UniqueId;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * The NCCL communicators of one rank: made one after the other, looked after by whoever waits for the device, ended
 * together. For groups of several ranks.
 */
final class NcclGroups implements Carriers, CudaDevice.Watch, AutoCloseable {
    private final NcclLibrary library;
    private final CudaDevice device;
    private final Function<ProcessGroup, Optional<UniqueId>> ids;
    private final NcclOptions options;
    private final Duration meeting;
    private final Duration operation;
    private final NcclCalls calls = new NcclCalls();
    private final List<NcclQueue> live = new CopyOnWriteArrayList<>();
    private Turn last = new Turn(null, System.nanoTime()); // of look

    /**
     * @param ids of groups, as the meeting told them; for a group without one its first rank makes it, and tells the others
     * @param options of groups
     * @param meeting how long all ranks of a group may take to meet
     * @param operation how long one operation may take
     */
    NcclGroups(
            NcclLibrary library,
            CudaDevice device,
            Function<ProcessGroup, Optional<UniqueId>> ids,
            NcclOptions options,
            Duration meeting,
            Duration operation) {
        this.library = library;
        this.device = device;
        this.ids = ids;
        this.options = options;
        this.meeting = meeting;
        this.operation = operation;
        device.watch(this);
    }

    /** That all ranks are here is seen by the host's group first, which can name who is not. */
    @Override
    public Carrier connect(ProcessGroup group, int me, Carrier host, Life life, OperationTag tag) {
        agree(group, host, tag);
        UniqueId id = ids.apply(group).orElseGet(() -> shared(me, host, tag));
        device.enter();
        NcclHandle handle = NcclHandle.begin(library, calls, id, group.size(), me, options.config(group));
        boolean met = false;
        try {
            String init = "init of " + group;
            handle.await(init, meeting, () -> life.requireAlive(init));
            met = true;
        } finally {
            if (!met) {
                handle.abort();
            }
        }
        NcclQueue queue = new NcclQueue(this, handle, group, device, life, operation, options.highPriority());
        live.add(queue);
        if (options.register()) {
            device.memory().forEach(queue::register);
        }
        return new NcclCarrier(this, queue, group.size(), me);
    }

    private void agree(ProcessGroup group, Carrier host, OperationTag tag) {
        HostBuffer versions = HostBuffer.allocate(DataType.I32, group.size());
        host.allGather(tag, Buffer.ofInts(library.version()), versions, Blocks.even(group.size(), 1));
        int[] all = versions.ints();
        if (Arrays.stream(all).distinct().count() > 1) {
            throw LockstepException.report(
                            ErrorCode.DISAGREEMENT,
                            "ranks of " + group + " have NCCL " + Arrays.toString(all) + ", in their order")
                    .attempt("one NCCL on all executors: " + NcclLibrary.VARIABLE + " names it")
                    .exception();
        }
    }

    private UniqueId shared(int me, Carrier host, OperationTag tag) {
        byte[] bytes = me == 0 ? library.newId().bytes() : new byte[UniqueId.BYTES];
        HostBuffer buffer = HostBuffer.of(DataType.U8, bytes);
        host.broadcast(tag, buffer, buffer, 0);
        return UniqueId.of(bytes);
    }

    boolean isAborted() {
        return calls.isAborted();
    }

    /** All of the rank's memory is registered, or none: ranks that mix the two in one operation have no result that NCCL defines. */
    @Override
    public void allocated(long address, long bytes) {
        if (options.register()) {
            live.forEach(queue -> queue.register(address, bytes));
        }
    }

    @Override
    public void releasing(long address) {
        live.forEach(queue -> queue.deregister(address));
    }

    /** All groups of the rank, for they share its stream. From any thread. Idempotent. */
    void abort() {
        live.forEach(NcclQueue::freeze);
        calls.abort();
    }

    /** One thread at a time: who finds a deadline passed is the one to ask the other ranks, and the next is told what it heard. */
    @Override
    public synchronized void look(long waited) {
        Turn turn = turn();
        live.forEach(queue -> queue.look(waited, turn));
    }

    /**
     * Whose turn it is in the rank's stream, which all groups share: what is behind it waits for it, not for its own peers.
     *
     * @param entry null where nothing is queued
     * @param since when it was first seen to be its turn
     */
    record Turn(InFlight.@Nullable Entry entry, long since) {
        boolean isBefore(InFlight.Entry other) {
            return entry != null && entry.since() - other.since() < 0;
        }
    }

    private Turn turn() {
        InFlight.Entry oldest = live.stream()
                .map(NcclQueue::oldest)
                .flatMap(Optional::stream)
                .filter(entry -> !entry.isApart())
                .min((one, other) -> Long.signum(one.since() - other.since()))
                .orElse(null);
        if (!Objects.equals(oldest, last.entry())) {
            last = new Turn(oldest, System.nanoTime());
        }
        return last;
    }

    /** Ends what is left, and looks no more. On the device's thread. Idempotent. */
    @Override
    public void close() {
        abort();
        device.watch(null);
        device.enter();
        live.forEach(NcclQueue::forget);
    }

    @Override
    public String toString() {
        return library.toString();
    }
}
