package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ProcessGroup;

/**
 * A live process group.
 *
 * <p>Three numbers name a rank, and they differ: its <em>rank</em> in the world, its <em>rank in group</em> here
 * ({@link #rankInGroup()}, and what {@code root} and {@code peer} mean), and its <em>local rank</em>, the ordinal of its
 * device on its host. With 16 ranks, tensor 2 and pipeline 4, on two hosts of 8: rank 10 is 0 in its tensor group
 * {10, 11}, 2 in its pipeline group {2, 6, 10, 14}, and has local rank 2 on the second host.
 *
 * <p>Every rank of the group calls the same operations in the same order with the same type and count; where they do not,
 * each learns so at that very operation, both sides named. Only a call that a rank skips among equal ones is taken for its
 * next, for each rank numbers its own calls: that shows at the first operation that differs, when the rank closes the group
 * while others wait for it, or at their deadline.
 *
 * <p>Buffers are of this backend's device. An operation is complete for its caller on return. {@code send} and
 * {@code receive} of an operation may be the same memory where it says so, and overlap in no other way. Results are equal
 * bit by bit on all ranks, transports and runs: a reduction adds in a balanced binary tree over the ranks in group order,
 * {@code tree(lo, hi) = tree(lo, mid) + tree(mid, hi)} with {@code mid - lo} the largest power of two below
 * {@code hi - lo}; floating types of 16 and 8 bits are accumulated in f32 and rounded once.
 *
 * <p>Buffers of a device travel in the order of that device's queue: on return an operation is queued, as kernels are, and who
 * reads the elements waits for it. What fails meanwhile is thrown there, or by the next operation. Where a library carries them
 * (NCCL) the order of additions is its own, and so is what becomes of NaN in minima and maxima; sends wait for who receives, so
 * that those that cross belong into one {@link #grouped}; and operations of several groups are called in one order on all ranks.
 *
 * <p>Confined to its rank's thread, except {@link #abort}, which any thread may call; two threads at once are refused
 * with CONCURRENT_USE. All operations throw {@link CommunicatorException}; after it the communicator is dead. After
 * {@link #close} they throw COMMUNICATOR_CLOSED. A wrong buffer, count or root is an {@link IllegalArgumentException},
 * thrown before anything is sent. So is NOT_FINITE, where {@link OperationTerms#finite} asks for it; it ends the communicator.
 */
public interface Communicator extends AutoCloseable {
    ProcessGroup group();

    int rankInGroup();

    default int size() {
        return group().size();
    }

    /**
     * Leaves in every rank's {@code receive} the element-wise {@code op} of all ranks' {@code send}; both have the same
     * length and may be the same.
     */
    void allReduce(Buffer send, Buffer receive, ReduceOp op);

    /** {@link #allReduce(Buffer, Buffer, ReduceOp)} in place. */
    default void allReduce(Buffer buffer, ReduceOp op) {
        allReduce(buffer, buffer, op);
    }

    /**
     * As {@link #allReduce(Buffer, Buffer, ReduceOp)}, with the result at {@code root} only; the others' {@code receive} is
     * not touched.
     */
    void reduce(Buffer send, Buffer receive, ReduceOp op, int root);

    /** {@link #reduce(Buffer, Buffer, ReduceOp, int)} in place at the root. */
    default void reduce(Buffer buffer, ReduceOp op, int root) {
        reduce(buffer, buffer, op, root);
    }

    /**
     * Copies {@code send} of {@code root}, a rank in this group, to {@code receive} of all ranks. Both have the same
     * length and may be the same; the others' {@code send} is not read.
     */
    void broadcast(Buffer send, Buffer receive, int root);

    /** {@link #broadcast(Buffer, Buffer, int)} in place. */
    default void broadcast(Buffer buffer, int root) {
        broadcast(buffer, buffer, root);
    }

    /**
     * Gathers rank i's {@code send} into block i of {@code receive}, whose length is size × send's.
     * {@code send} may be that very block of {@code receive}.
     */
    void allGather(Buffer send, Buffer receive);

    /**
     * {@link #allGather} of blocks of unequal length: rank i's {@code send} has {@code counts[i]} elements, and
     * {@code receive} as many as all together. All ranks give the same counts.
     */
    void allGatherV(Buffer send, Buffer receive, long... counts);

    /**
     * Leaves on rank i block i of the element-wise {@code op} of all ranks' {@code send}, whose length is
     * size × receive's. {@code receive} may be that very block of {@code send}.
     */
    void reduceScatter(Buffer send, Buffer receive, ReduceOp op);

    /**
     * {@link #reduceScatter} of blocks of unequal length: rank i's {@code receive} has {@code counts[i]} elements, and
     * {@code send} as many as all together. All ranks give the same counts.
     */
    void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts);

    /**
     * As {@link #allGather}, into {@code root}'s {@code receive} only; the others may give null for it.
     */
    void gather(Buffer send, @Nullable Buffer receive, int root);

    /**
     * Copies block i of {@code root}'s {@code send}, whose length is size × receive's, to {@code receive} of rank i; the
     * others may give null for {@code send}. The root's {@code receive} may be its own block of {@code send}.
     */
    void scatter(@Nullable Buffer send, Buffer receive, int root);

    /**
     * Copies block i of rank j's {@code send} to block j of rank i's {@code receive}; both have the same length, a multiple
     * of size, and are apart.
     */
    void allToAll(Buffer send, Buffer receive);

    /**
     * {@link #allToAll} of blocks of unequal length: block i of {@code send} has {@code sendCounts[i]} elements, which rank
     * i gives as {@code receiveCounts} of this rank.
     */
    void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts);

    /** Sends to {@code peer}, which calls {@link #receive} with the same type and count. May return before it did. */
    void send(Buffer buffer, int peer);

    /** {@link #send(Buffer, int)} to the next rank of the group; the last one's next is the first. */
    default void send(Buffer buffer) {
        send(buffer, next());
    }

    void receive(Buffer buffer, int peer);

    /** {@link #receive(Buffer, int)} from the previous rank of the group; the first one's previous is the last. */
    default void receive(Buffer buffer) {
        receive(buffer, previous());
    }

    /** Returns when every rank of the group has called it. */
    void barrier();

    /**
     * As {@link #barrier()}, with a deadline of its own, which must be positive: for ranks whose work in between takes as
     * long as it takes. A peer that dies or aborts is seen all the same.
     */
    default void barrier(Duration deadline) {
        within(deadline).barrier();
    }

    /**
     * This communicator with another deadline, for the operations that are called on what is returned: one, or all from now on. It
     * holds for each, whatever that moves; all else, the end included, is this communicator's. Each rank has its own deadlines:
     * the shortest ends an operation for all. A rank that waits for one that itself waits for others has up to a second more, so
     * that whoever knows who does not come says so first.
     *
     * @param deadline positive
     */
    Communicator within(Duration deadline);

    /**
     * Copies {@code value} of {@code root} to all ranks; the others pass null. Travels by Kryo: its class must have been
     * registered.
     */
    <T> T broadcastObject(@Nullable T value, int root, Class<T> type);

    /**
     * Every rank's {@code value}, in their order. Those of all ranks have 2^31 - 9 bytes at most together, which always has room for 31 of
     * the longest there may be ({@link ObjectCodec#MAX_BYTES}): of more none is sent, and all ranks fail with the same
     * PROTOCOL, that names the longest.
     */
    <T> List<T> allGatherObject(T value, Class<T> type);

    void sendObject(Object value, int peer);

    /** {@link #sendObject(Object, int)} to the next rank of the group; the last one's next is the first. */
    default void sendObject(Object value) {
        sendObject(value, next());
    }

    <T> T receiveObject(int peer, Class<T> type);

    /** {@link #receiveObject(int, Class)} from the previous rank of the group; the first one's previous is the last. */
    default <T> T receiveObject(Class<T> type) {
        return receiveObject(previous(), type);
    }

    /**
     * Queues operations behind those queued before and returns at once. They run in order, in the communicator's own
     * thread; operations called directly wait until all that is queued is done, and what was hung on its futures. All ranks
     * still perform the same operations in the same order, queued or not.
     *
     * <p>An exception of the given code itself fails its {@link Work} only: the communicator lives and the queue goes on.
     * The operations that it then left out are missing on this rank, as peers will notice.
     *
     * <p>On a device they begin after all that it was given before this call. What NCCL carries goes on beside what the device is
     * given later, and is done when it is complete there; else it is done when it is queued with the rest. The given code calls
     * operations, and no kernels. Of operations of several groups that may be on a device at once, NCCL asks that all ranks queue
     * them in one order.
     *
     * @param operations what to do, with the communicator to do it with
     */
    Work async(Consumer<? super Communicator> operations);

    /**
     * Carries out operations together, as NCCL's group calls do: the transfers among them all at once, so that no order of
     * sends and receives can block, then the others in their order. Objects, and groups in groups, are refused.
     *
     * @param operations calls those that belong together, on the communicator it is given; they run after it returned, and
     *     none runs if it throws or if one of them has wrong arguments
     */
    void grouped(Consumer<? super Communicator> operations);

    /**
     * Whether operations on a device's buffers are only queued there, so that a graph of the device can record and repeat them.
     * Repetitions are neither counted nor recorded, and no such graph is to be launched beside an operation of this group that is
     * queued ({@link #async}) and not complete: it does not wait for it.
     */
    boolean isRecordable();

    /** Operations, bytes and time waited so far, over this communicator's life. */
    Traffic traffic();

    /** The same of one operation; what is received counts as {@link OperationTag.Operation#SEND}, which it is to the peer. */
    Traffic traffic(OperationTag.Operation operation);

    /** The last operations. From any thread, also when the communicator is dead or closed. */
    Flight flight();

    /**
     * Orderly end, after what is queued; every rank calls it, no peer is waited for. An interrupt while it waits aborts what
     * is queued. Idempotent.
     */
    @Override
    void close();

    /**
     * Ends now, from any thread: operations blocked here fail with ABORTED, those blocked at peers with ABORTED or
     * PEER_LOST, naming {@code cause}. Idempotent; the first cause stays.
     */
    void abort(Throwable cause);

    private int next() {
        return (rankInGroup() + 1) % size();
    }

    private int previous() {
        return (rankInGroup() + size() - 1) % size();
    }
}
