package org.lockstep.collective;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ProcessGroup;

/** Notes the operations of {@link Communicator#grouped} instead of performing them. Confined to one thread. */
final class Recording implements Communicator {
    private final Communicator real;

    /** The transfers, in the order of the calls. */
    final List<Transfer> transfers = new ArrayList<>();

    /** All other operations, in the order of the calls. */
    final List<Runnable> others = new ArrayList<>();

    Recording(Communicator real) {
        this.real = real;
    }

    @Override
    public ProcessGroup group() {
        return real.group();
    }

    @Override
    public int rankInGroup() {
        return real.rankInGroup();
    }

    @Override
    public void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        others.add(() -> real.allReduce(send, receive, op));
    }

    @Override
    public void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        others.add(() -> real.reduce(send, receive, op, root));
    }

    @Override
    public void broadcast(Buffer send, Buffer receive, int root) {
        others.add(() -> real.broadcast(send, receive, root));
    }

    @Override
    public void allGather(Buffer send, Buffer receive) {
        others.add(() -> real.allGather(send, receive));
    }

    @Override
    public void allGatherV(Buffer send, Buffer receive, long... counts) {
        others.add(() -> real.allGatherV(send, receive, counts));
    }

    @Override
    public void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        others.add(() -> real.reduceScatter(send, receive, op));
    }

    @Override
    public void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        others.add(() -> real.reduceScatterV(send, receive, op, counts));
    }

    @Override
    public void gather(Buffer send, @Nullable Buffer receive, int root) {
        others.add(() -> real.gather(send, receive, root));
    }

    @Override
    public void scatter(@Nullable Buffer send, Buffer receive, int root) {
        others.add(() -> real.scatter(send, receive, root));
    }

    @Override
    public void allToAll(Buffer send, Buffer receive) {
        others.add(() -> real.allToAll(send, receive));
    }

    @Override
    public void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        others.add(() -> real.allToAllV(send, sendCounts, receive, receiveCounts));
    }

    @Override
    public void send(Buffer buffer, int peer) {
        transfers.add(new Transfer(true, buffer, peer));
    }

    @Override
    public void receive(Buffer buffer, int peer) {
        transfers.add(new Transfer(false, buffer, peer));
    }

    @Override
    public void barrier() {
        others.add(real::barrier);
    }

    @Override
    public void barrier(Duration deadline) {
        others.add(() -> real.barrier(deadline));
    }

    private static UnsupportedOperationException refused(String what) {
        return new UnsupportedOperationException(what + " cannot be part of a group of operations");
    }

    @Override
    public <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        throw refused("broadcastObject");
    }

    @Override
    public <T> List<T> allGatherObject(T value, Class<T> type) {
        throw refused("allGatherObject");
    }

    @Override
    public void sendObject(Object value, int peer) {
        throw refused("sendObject");
    }

    @Override
    public <T> T receiveObject(int peer, Class<T> type) {
        throw refused("receiveObject");
    }

    @Override
    public Work async(Consumer<? super Communicator> operations) {
        throw refused("async");
    }

    @Override
    public void grouped(Consumer<? super Communicator> operations) {
        throw refused("grouped");
    }

    @Override
    public Traffic traffic() {
        return real.traffic();
    }

    @Override
    public void close() {
        throw refused("close");
    }

    @Override
    public void abort(Throwable cause) {
        real.abort(cause);
    }
}
