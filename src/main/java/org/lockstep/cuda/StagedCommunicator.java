package org.lockstep.cuda;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Flight;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Traffic;
import org.lockstep.collective.Work;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * A group whose buffers are on a device, through one whose buffers are in host memory: what is sent is copied down, what was
 * received up. Buffers of the host go as they are.
 *
 * <p>Threads and errors: as {@link Communicator}, of the one below. Copies wait for the device; bytes are counted below.
 */
final class StagedCommunicator implements Communicator {
    private final Communicator below;
    private final Landing landing;

    /** Where what was received is copied up, and when. */
    private interface Landing {
        void land(HostBuffer from, Buffer to);
    }

    StagedCommunicator(Communicator below) {
        this(below, StagedCommunicator::up);
    }

    private StagedCommunicator(Communicator below, Landing landing) {
        this.below = below;
        this.landing = landing;
    }

    /** The elements of {@code buffer}, in host memory. */
    private static HostBuffer down(Buffer buffer) {
        return buffer.toHost();
    }

    /** Room for what {@code buffer} shall get: the buffer itself in host memory. */
    private static HostBuffer room(Buffer buffer) {
        return buffer instanceof HostBuffer host ? host : HostBuffer.allocate(buffer.type(), buffer.length());
    }

    private static void up(HostBuffer from, Buffer to) {
        if (to instanceof DeviceBuffer device) {
            device.copyFrom(from);
        }
    }

    /** What is sent from host memory and received there, then lands. */
    private void through(Buffer send, Buffer receive, Exchange exchange) {
        HostBuffer out = down(send);
        HostBuffer in = receive == send ? out : room(receive);
        exchange.between(out, in);
        landing.land(in, receive);
    }

    private interface Exchange {
        void between(HostBuffer send, HostBuffer receive);
    }

    @Override
    public ProcessGroup group() {
        return below.group();
    }

    @Override
    public int rankInGroup() {
        return below.rankInGroup();
    }

    @Override
    public void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        if (size() == 1 && send == receive && op.kind() != ReduceOp.Kind.PREMULTIPLIED_SUM) {
            // A sum of one is in its place: nothing is copied, but the group must be alive.
            below.allReduce(HostBuffer.allocate(send.type(), 0), op);
            return;
        }
        through(send, receive, (out, in) -> below.allReduce(out, in, op));
    }

    @Override
    public void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        if (rankInGroup() == root) {
            through(send, receive, (out, in) -> below.reduce(out, in, op, root));
        } else {
            below.reduce(down(send), room(receive), op, root);
        }
    }

    @Override
    public void broadcast(Buffer send, Buffer receive, int root) {
        if (rankInGroup() == root) {
            through(send, receive, (out, in) -> below.broadcast(out, in, root));
        } else {
            HostBuffer in = room(receive);
            below.broadcast(send == receive ? in : room(send), in, root);
            landing.land(in, receive);
        }
    }

    @Override
    public void allGather(Buffer send, Buffer receive) {
        through(send, receive, below::allGather);
    }

    @Override
    public void allGatherV(Buffer send, Buffer receive, long... counts) {
        through(send, receive, (out, in) -> below.allGatherV(out, in, counts));
    }

    @Override
    public void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        through(send, receive, (out, in) -> below.reduceScatter(out, in, op));
    }

    @Override
    public void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        through(send, receive, (out, in) -> below.reduceScatterV(out, in, op, counts));
    }

    @Override
    public void gather(Buffer send, @Nullable Buffer receive, int root) {
        if (receive == null || rankInGroup() != root) {
            below.gather(down(send), receive == null ? null : room(receive), root);
        } else {
            through(send, receive, (out, in) -> below.gather(out, in, root));
        }
    }

    @Override
    public void scatter(@Nullable Buffer send, Buffer receive, int root) {
        if (send == null || rankInGroup() != root) {
            HostBuffer in = room(receive);
            below.scatter(send == null ? null : room(send), in, root);
            landing.land(in, receive);
        } else {
            through(send, receive, (out, in) -> below.scatter(out, in, root));
        }
    }

    @Override
    public void allToAll(Buffer send, Buffer receive) {
        through(send, receive, below::allToAll);
    }

    @Override
    public void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        through(send, receive, (out, in) -> below.allToAllV(out, sendCounts, in, receiveCounts));
    }

    @Override
    public void send(Buffer buffer, int peer) {
        below.send(down(buffer), peer);
    }

    @Override
    public void receive(Buffer buffer, int peer) {
        HostBuffer in = room(buffer);
        below.receive(in, peer);
        landing.land(in, buffer);
    }

    @Override
    public void barrier() {
        below.barrier();
    }

    @Override
    public void barrier(Duration deadline) {
        below.barrier(deadline);
    }

    @Override
    public <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        return below.broadcastObject(value, root, type);
    }

    @Override
    public <T> List<T> allGatherObject(T value, Class<T> type) {
        return below.allGatherObject(value, type);
    }

    @Override
    public void sendObject(Object value, int peer) {
        below.sendObject(value, peer);
    }

    @Override
    public <T> T receiveObject(int peer, Class<T> type) {
        return below.receiveObject(peer, type);
    }

    @Override
    public Work async(Consumer<? super Communicator> operations) {
        return below.async(queue -> operations.accept(new StagedCommunicator(queue)));
    }

    /** What is received lands when all operations are done: until then nothing has come. */
    @Override
    public void grouped(Consumer<? super Communicator> operations) {
        List<Runnable> landings = new ArrayList<>();
        below.grouped(group -> operations.accept(
                new StagedCommunicator(group, (from, to) -> landings.add(() -> landing.land(from, to)))));
        landings.forEach(Runnable::run);
    }

    @Override
    public Flight flight() {
        return below.flight();
    }

    @Override
    public Traffic traffic() {
        return below.traffic();
    }

    @Override
    public void close() {
        below.close();
    }

    @Override
    public void abort(Throwable cause) {
        below.abort(cause);
    }

    @Override
    public String toString() {
        return below + ", staged through the host";
    }
}
