package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Carriers;
import org.lockstep.topology.ProcessGroup;

/**
 * The queues of one rank's groups, which share its stream: looked after by whoever waits for the device, ended together.
 * Thread-safe but for {@link #close}, which is called on the device's thread.
 */
final class DeviceQueues implements CudaDevice.Watch, AutoCloseable {
    private final CudaDevice device;
    private final Duration operation;
    private final boolean highPriority;
    private final Runnable graphs;
    private final List<DeviceQueue> live = new CopyOnWriteArrayList<>();
    private volatile boolean aborted;
    private Turn last = new Turn(null, System.nanoTime()); // of look

    /**
     * @param operation how long one operation may take
     * @param highPriority of the streams beside the rank's
     * @param graphs forgets all graphs that repeat what was queued, on the device's thread
     */
    DeviceQueues(CudaDevice device, Duration operation, boolean highPriority, Runnable graphs) {
        this.device = device;
        this.operation = operation;
        this.highPriority = highPriority;
        this.graphs = graphs;
    }

    /** A queue for a group. */
    DeviceQueue open(ProcessGroup group, Carriers.Life life) {
        DeviceQueue queue = new DeviceQueue(this, group, device, life, operation, highPriority);
        live.add(queue);
        device.watch(this);
        return queue;
    }

    boolean isAborted() {
        return aborted;
    }

    /** Nothing that was queued is repeated from now on, for NCCL ends no communicator of which a graph holds a kernel. */
    void dropGraphs() {
        device.enter();
        graphs.run();
    }

    /** Lets all that waits on the device for other ranks end. From any thread. Idempotent. */
    void abort() {
        aborted = true;
        live.forEach(DeviceQueue::abort);
    }

    /** One thread at a time: who finds a deadline passed is the one to ask the other ranks, and the next is told what it heard. */
    @Override
    public synchronized void look(long waited) {
        long now = System.nanoTime(); // before the device is asked: nothing is late that is complete when it is seen
        Turn turn = turn();
        live.forEach(queue -> queue.look(waited, turn, now));
    }

    @Override
    public synchronized boolean isBehindOthers() {
        return last.entry() != null || live.stream().anyMatch(DeviceQueue::repeats);
    }

    @Override
    public void allocated(long address, long bytes) {
        live.forEach(queue -> queue.allocated(address, bytes));
    }

    @Override
    public void releasing(long address) {
        live.forEach(queue -> queue.releasing(address));
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
                .map(DeviceQueue::oldest)
                .flatMap(Optional::stream)
                .filter(entry -> !entry.isApart())
                .min((one, other) -> Long.signum(one.since() - other.since()))
                .orElse(null);
        if (!Objects.equals(oldest, last.entry())) {
            last = new Turn(oldest, System.nanoTime());
        }
        return last;
    }

    /** Ends what is left, and looks no more. Idempotent. */
    @Override
    public void close() {
        abort();
        device.unwatch(this);
        device.enter();
        live.forEach(DeviceQueue::forget);
    }
}
