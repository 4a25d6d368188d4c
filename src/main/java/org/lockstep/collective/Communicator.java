package org.lockstep.collective;

import java.time.Duration;
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
 * each learns so at that very operation, both sides named. Buffers are of this backend's device. An operation is complete
 * for its caller on return. Results are equal bit by bit on all ranks, transports and runs: a reduction adds in a
 * balanced binary tree over the ranks in group order, {@code tree(lo, hi) = tree(lo, mid) + tree(mid, hi)} with
 * {@code mid - lo} the largest power of two below {@code hi - lo}; 16-bit types are accumulated in f32 and rounded once.
 *
 * <p>Confined to its rank's thread, except {@link #abort}, which any thread may call; two threads at once are refused
 * with CONCURRENT_USE. All operations throw {@link CommunicatorException}; after it the communicator is dead. After
 * {@link #close} they throw COMMUNICATOR_CLOSED. A wrong buffer or root is an {@link IllegalArgumentException}, thrown
 * before anything is sent.
 */
public interface Communicator extends AutoCloseable {
    ProcessGroup group();

    int rankInGroup();

    default int size() {
        return group().size();
    }

    /** Leaves on every rank the element-wise {@code op} of all ranks' buffers. In place. */
    void allReduce(Buffer buffer, ReduceOp op);

    /**
     * Gathers rank i's {@code send} into block i of {@code receive}, whose length is size × send's.
     * {@code send} may be that very block of {@code receive}.
     */
    void allGather(Buffer send, Buffer receive);

    /**
     * Leaves on rank i block i of the element-wise {@code op} of all ranks' {@code send}, whose length is
     * size × receive's.
     */
    void reduceScatter(Buffer send, Buffer receive, ReduceOp op);

    /** Copies {@code buffer} of {@code root}, a rank in this group, to all ranks. */
    void broadcast(Buffer buffer, int root);

    /** Sends to {@code peer}, which calls {@link #receive} with the same type and count. May return before it did. */
    void send(Buffer buffer, int peer);

    void receive(Buffer buffer, int peer);

    /** Returns when every rank of the group has called it. */
    void barrier();

    /**
     * As {@link #barrier()}, with a deadline of its own: for ranks whose work in between takes as long as it takes. A peer
     * that dies or aborts is seen all the same.
     */
    void barrier(Duration deadline);

    /**
     * Copies {@code value} of {@code root} to all ranks; the others pass null. Travels by Kryo: its class must have been
     * registered.
     */
    <T> T broadcastObject(@Nullable T value, int root, Class<T> type);

    void sendObject(Object value, int peer);

    <T> T receiveObject(int peer, Class<T> type);

    /** Operations, bytes and time waited so far, over this communicator's life. */
    Traffic traffic();

    /** Orderly end; every rank calls it, no peer is waited for. Idempotent. */
    @Override
    void close();

    /**
     * Ends now, from any thread: operations blocked here fail with ABORTED, those blocked at peers with ABORTED or
     * PEER_LOST, naming {@code cause}. Idempotent; the first cause stays.
     */
    void abort(Throwable cause);
}
