package org.lockstep.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Flight;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Traffic;
import org.lockstep.collective.Work;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ProcessGroup;

/**
 * A group whose every operation on buffers of the host is done on a device: they are copied up, the operation runs there, what
 * was received is copied down. So the contract's tests, which look at host memory, test what carries a device's. Buffers that
 * overlap in host memory do so on the device; what lies beside them there must not change.
 */
final class OnDevice implements Communicator {
    private static final int MARGIN = 5;

    private final Communicator real;
    private final Kernels kernels;
    private final @Nullable Map<Object, Mirror> together; // of a group of operations: by array, which they share
    private final boolean queued; // what is copied up in the queue's thread is waited for, as queued operations do not

    OnDevice(Communicator real, Kernels kernels) {
        this(real, kernels, null, false);
    }

    private OnDevice(Communicator real, Kernels kernels, @Nullable Map<Object, Mirror> together, boolean queued) {
        this.real = real;
        this.kernels = kernels;
        this.together = together;
        this.queued = queued;
    }

    /** Device memory that stands for some of a host array, with margins. */
    private final class Mirror {
        final HostBuffer host;
        final Buffer whole;

        Mirror(HostBuffer host) {
            this.host = host;
            HostBuffer framed = HostBuffer.allocate(host.type(), host.length() + 2 * MARGIN);
            if (host.length() > 0) {
                framed.slice(MARGIN, host.length()).copyFrom(host);
            }
            this.whole = kernels.upload(framed, framed.length()).buffer();
            if (queued) {
                whole.toHost();
            }
        }

        Buffer of(HostBuffer part) {
            return whole.slice(MARGIN + part.offset() - host.offset(), part.length());
        }

        void down(HostBuffer part) {
            HostBuffer framed = whole.toHost();
            part.copyFrom(framed.slice(MARGIN + part.offset() - host.offset(), part.length()));
            assertThat(framed.slice(0, MARGIN))
                    .usingComparator(OnDevice::compare)
                    .isEqualTo(zeros(host.type()));
            assertThat(framed.slice(MARGIN + host.length(), MARGIN))
                    .usingComparator(OnDevice::compare)
                    .isEqualTo(zeros(host.type()));
        }
    }

    private static HostBuffer zeros(DataType type) {
        return HostBuffer.allocate(type, MARGIN);
    }

    private static int compare(HostBuffer one, HostBuffer other) {
        for (int i = 0; i < one.size(); i++) {
            if (one.get(i) != other.get(i)) {
                return 1;
            }
        }
        return 0;
    }

    private interface Operation {
        void on(@Nullable Buffer send, @Nullable Buffer receive);
    }

    private static boolean overlap(HostBuffer a, HostBuffer b) {
        return a.array() == b.array() && a.offset() < b.offset() + b.size() && b.offset() < a.offset() + a.size();
    }

    private static HostBuffer union(HostBuffer a, HostBuffer b) {
        int from = Math.min(a.offset(), b.offset());
        int to = Math.max(a.offset() + a.size(), b.offset() + b.size());
        return HostBuffer.of(a.type(), a.array()).slice(from, (long) to - from);
    }

    /** What is received is copied down if this rank receives. */
    private void through(@Nullable Buffer send, @Nullable Buffer receive, boolean receives, Operation operation) {
        if (!(send == null || send instanceof HostBuffer) || !(receive == null || receive instanceof HostBuffer)) {
            operation.on(send, receive); // of a device that nobody has
            return;
        }
        HostBuffer from = (HostBuffer) send;
        HostBuffer to = (HostBuffer) receive;
        Mirror out = null;
        Mirror in = null;
        if (from != null) {
            out = mirror(to != null && overlap(from, to) ? union(from, to) : from);
        }
        if (to != null) {
            in = out != null && from != null && overlap(from, to) ? out : mirror(to);
        }
        Buffer sent = from == null || out == null ? null : out.of(from);
        operation.on(sent, from == to ? sent : to == null || in == null ? null : in.of(to));
        if (together != null) {
            return;
        }
        if (receives && to != null && in != null) {
            in.down(to);
        } else {
            kernels.upload(HostBuffer.allocate(DataType.I32, 1), 1).buffer().toHost(); // so that what failed shows
        }
        for (Mirror each : new @Nullable Mirror[] {out, in}) {
            if (each != null) {
                each.whole.close();
            }
        }
    }

    private Mirror mirror(HostBuffer host) {
        return together == null
                ? new Mirror(host)
                : together.computeIfAbsent(host.array(), array -> new Mirror(HostBuffer.of(host.type(), array)));
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
    public boolean isRecordable() {
        return real.isRecordable();
    }

    @Override
    public void allReduce(Buffer send, Buffer receive, ReduceOp op) {
        through(send, receive, true, (out, in) -> real.allReduce(out, in, op));
    }

    @Override
    public void reduce(Buffer send, Buffer receive, ReduceOp op, int root) {
        through(send, receive, true, (out, in) -> real.reduce(out, in, op, root));
    }

    @Override
    public void broadcast(Buffer send, Buffer receive, int root) {
        through(send, receive, true, (out, in) -> real.broadcast(out, in, root));
    }

    @Override
    public void allGather(Buffer send, Buffer receive) {
        through(send, receive, true, real::allGather);
    }

    @Override
    public void allGatherV(Buffer send, Buffer receive, long... counts) {
        through(send, receive, true, (out, in) -> real.allGatherV(out, in, counts));
    }

    @Override
    public void reduceScatter(Buffer send, Buffer receive, ReduceOp op) {
        through(send, receive, true, (out, in) -> real.reduceScatter(out, in, op));
    }

    @Override
    public void reduceScatterV(Buffer send, Buffer receive, ReduceOp op, long... counts) {
        through(send, receive, true, (out, in) -> real.reduceScatterV(out, in, op, counts));
    }

    @Override
    public void gather(Buffer send, @Nullable Buffer receive, int root) {
        through(send, receive, true, (out, in) -> real.gather(out, in, root));
    }

    @Override
    public void scatter(@Nullable Buffer send, Buffer receive, int root) {
        through(send, receive, true, (out, in) -> real.scatter(out, in, root));
    }

    @Override
    public void allToAll(Buffer send, Buffer receive) {
        through(send, receive, true, real::allToAll);
    }

    @Override
    public void allToAllV(Buffer send, long[] sendCounts, Buffer receive, long[] receiveCounts) {
        through(send, receive, true, (out, in) -> real.allToAllV(out, sendCounts, in, receiveCounts));
    }

    @Override
    public void send(Buffer buffer, int peer) {
        through(buffer, null, false, (out, in) -> real.send(out, peer));
    }

    @Override
    public void receive(Buffer buffer, int peer) {
        through(null, buffer, true, (out, in) -> real.receive(in, peer));
    }

    @Override
    public void barrier() {
        real.barrier();
    }

    @Override
    public void barrier(Duration deadline) {
        real.barrier(deadline);
    }

    @Override
    public Communicator within(Duration deadline) {
        return new OnDevice(real.within(deadline), kernels, together, queued);
    }

    @Override
    public <T> T broadcastObject(@Nullable T value, int root, Class<T> type) {
        return real.broadcastObject(value, root, type);
    }

    @Override
    public <T> List<T> allGatherObject(T value, Class<T> type) {
        return real.allGatherObject(value, type);
    }

    @Override
    public void sendObject(Object value, int peer) {
        real.sendObject(value, peer);
    }

    @Override
    public <T> T receiveObject(int peer, Class<T> type) {
        return real.receiveObject(peer, type);
    }

    @Override
    public Work async(Consumer<? super Communicator> operations) {
        return real.async(queue -> operations.accept(new OnDevice(queue, kernels, null, true)));
    }

    @Override
    public void grouped(Consumer<? super Communicator> operations) {
        Map<Object, Mirror> mirrors = new IdentityHashMap<>();
        real.grouped(group -> operations.accept(new OnDevice(group, kernels, mirrors, queued)));
        mirrors.values().forEach(mirror -> {
            mirror.down(mirror.host);
            mirror.whole.close();
        });
    }

    @Override
    public Traffic traffic() {
        return real.traffic();
    }

    @Override
    public Traffic traffic(OperationTag.Operation operation) {
        return real.traffic(operation);
    }

    @Override
    public Flight flight() {
        return real.flight();
    }

    @Override
    public void close() {
        real.close();
    }

    @Override
    public void abort(Throwable cause) {
        real.abort(cause);
    }
}
