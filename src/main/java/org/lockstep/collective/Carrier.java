package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;

/**
 * How the buffers of one kind of memory move between the ranks of one group. What surrounds it, checks of arguments, the
 * order of operations, their record, the end, is {@link GuardedCommunicator}'s.
 *
 * <p>Called by the thread that was admitted, with buffers for which {@link #carries} holds and arguments that were checked.
 * On return an operation is complete in the order in which that memory is read and written: at once in host memory, where its
 * device's queue comes to it on a device.
 */
public interface Carrier {
    /** Whether {@code buffer} is in memory that this moves. */
    boolean carries(Buffer buffer);

    /** Whether operations are only queued on their device, so that a graph of that device can record and repeat them. */
    default boolean isRecordable() {
        return false;
    }

    /** What is called from now on is to be complete on its device within {@code limit}; host memory is waited for elsewhere. */
    default void begin(Duration limit) {}

    /**
     * What the communicator's own thread is to run for operations that are queued by this call. Where the device can do so, they
     * begin after all that it was given before, go on beside what it is given later, and each is complete on return; else these
     * operations themselves. Thread-safe.
     *
     * @throws IllegalStateException while a graph of the device is recorded
     */
    default Runnable apart(Runnable operations) {
        return operations;
    }

    void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op);

    void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root);

    void broadcast(OperationTag tag, Buffer send, Buffer receive, int root);

    void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks);

    void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks);

    /** {@code receive} is null on other ranks than the root. */
    void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root);

    /** {@code send} is null on other ranks than the root. */
    void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root);

    void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks);

    /**
     * All at once, in any order between different peers; at least one.
     *
     * @param tags of the transfers, in their order
     */
    void transfer(List<OperationTag> tags, List<Transfer> transfers);

    /** What was called and is not known to be complete. From any thread; empty where an operation is complete on return. */
    default List<OperationTag> underWay() {
        return List.of();
    }

    /** Orderly end: what was called is complete, or given up at a deadline. Idempotent. */
    default void close() {}

    /** Ends now, from any thread that is not inside; waits for nobody. Idempotent. */
    default void abort() {}
}
