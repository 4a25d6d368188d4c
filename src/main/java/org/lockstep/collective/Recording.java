package org.lockstep.collective;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;
import org.lockstep.topology.ProcessGroup;

/**
 * Notes the operations of {@link Communicator#grouped}, and checks their arguments, instead of performing them. Confined to
 * one thread.
 */
final class Recording implements Communicator {
    private final Operations here; // on whose terms they will be performed
    private final GuardedCommunicator real;
    private final List<Transfer> transfers = new ArrayList<>();
    private final List<Runnable> others = new ArrayList<>();
    private boolean ended;

    Recording(Operations here) {
        this.here = here;
        this.real = here.real();
    }

    /** Refuses what is called from now on, for nobody would perform it. */
    void end() {
        ended = true;
    }

    /** The transfers, in the order of the calls. */
    List<Transfer> transfers() {
        return List.copyOf(transfers);
    }

    /** All other operations, in the order of the calls. */
    List<Runnable> others() {
        return List.copyOf(others);
    }

    private void add(Runnable operation) {
        requireOpen();
        others.add(operation);
    }

    private void add(Transfer transfer) {
        requireOpen();
        Arguments.transfer(real, transfer.buffer(), transfer.peer());
        transfers.add(transfer);
    }

    private void requireOpen() {
        if (ended) {
            throw new IllegalStateException("the group of operations in " + here.group() + " is over");
        }
    }

    @Override
    public ProcessGroup group() {
        return here.group();
    }

    @Override
    public int rankInGroup() {
        return here.rankInGroup();
    }

    @Override
    public boolean isRecordable() {
        return here.isRecordable();
    }

    @Override
    public void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        Arguments.allReduce(real, send, receive, op);
        add(() -> here.allReduce(send, receive, op));
    }

    @Override
    public void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        Arguments.reduce(real, send, receive, op, root);
        add(() -> here.reduce(send, receive, op, root));
    }

    @Override
    public void broadcast(Buffer send, Buffer receive, int root) {
        Arguments.broadcast(real, send, receive, root);
        add(() -> here.broadcast(send, receive, root));
    }

    @Override
    public void allGather(Buffer send, Buffer receive) {
        Arguments.allGather(real, send, receive, Blocks.even(size(), send.length()));
        add(() -> here.allGather(send, receive));
    }

    @Override
    public void allGatherV(Buffer send, Buffer receive, long... counts) {
        long[] own = counts.clone(); // the caller may change its array before the operations run
        Arguments.allGather(real, send, receive, Arguments.blocks(real, "counts", own));
        add(() -> here.allGatherV(send, receive, own));
    }

    @Override
    public void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        Arguments.reduceScatter(real, send, receive, op, Blocks.even(size(), receive.length()));
        add(() -> here.reduceScatter(send, receive, op));
    }

    @Override
    public void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        long[] own = counts.clone();
        Arguments.reduceScatter(real, send, receive, op, Arguments.blocks(real, "counts", own));
        add(() -> here.reduceScatterV(send, receive, op, own));
    }

    @Override
    public void gather(Buffer send, @Nullable Buffer receive, int root) {
        Buffer all = Arguments.gather(real, send, receive, root);
        add(() -> here.gather(send, all, root));
    }

    @Override
    public void scatter(@Nullable Buffer send, Buffer receive, int root) {
        Buffer all = Arguments.scatter(real, send, receive, root);
        add(() -> here.scatter(all, receive, root));
    }

    @Override
    public void allToAll(Buffer send, Buffer receive) {
        Arguments.allToAll(real, send, receive);
        add(() -> here.allToAll(send, receive));
    }

    @Override
    public void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        long[] ownSend = sendCounts.clone();
        long[] ownReceive = receiveCounts.clone();
        Arguments.allToAll(
                real,
                send,
                Arguments.blocks(real, "sendCounts", ownSend),
                receive,
                Arguments.blocks(real, "receiveCounts", ownReceive));
        add(() -> here.allToAllV(send, ownSend, receive, ownReceive));
    }

    @Override
    public void send(Buffer buffer, int peer) {
        add(new Transfer(true, buffer, peer));
    }

    @Override
    public void receive(Buffer buffer, int peer) {
        add(new Transfer(false, buffer, peer));
    }

    @Override
    public void barrier() {
        add(here::barrier);
    }

    @Override
    public void barrier(Duration deadline) {
        add(here.within(deadline)::barrier);
    }

    @Override
    public Communicator within(Duration deadline) {
        throw new UnsupportedOperationException(
                "a group of operations is given its deadline as a whole: within(" + deadline + ").grouped(...)");
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
        return here.traffic();
    }

    @Override
    public Traffic traffic(OperationTag.Operation operation) {
        return here.traffic(operation);
    }

    @Override
    public Flight flight() {
        return here.flight();
    }

    @Override
    public void close() {
        throw refused("close");
    }

    @Override
    public void abort(Throwable cause) {
        here.abort(cause);
    }
}
