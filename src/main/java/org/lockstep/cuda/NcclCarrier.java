package org.lockstep.cuda;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.topology.ProcessGroup;

/**
 * Carries a device's buffers by NCCL, in the order of the rank's stream, as kernels are: nothing waits, and a graph can
 * record it. What fails later is seen by who waits for the device ({@link #look}), or by the next operation.
 *
 * <p>Blocks of unequal length go as a group of broadcasts, or of reductions; what NCCL has no operation for as a group of
 * transfers, as NCCL's manual does it.
 */
final class NcclCarrier implements Carrier {
    private static final int PREMULTIPLIED_HOST_SCALAR = 1; // ncclScalarHostImmediate

    private final NcclGroups rank;
    private final NcclHandle handle;
    private final ProcessGroup group;
    private final int me;
    private final CudaDevice device;
    private final Carriers.Life life;
    private final Duration usual; // deadline
    private volatile Duration repeated; // deadline of what graphs repeat
    private final InFlight inFlight;
    private final long stream;
    private volatile @Nullable OperationTag last;
    private Duration limit; // of what is called next

    NcclCarrier(
            NcclGroups rank,
            NcclHandle handle,
            ProcessGroup group,
            int me,
            CudaDevice device,
            Carriers.Life life,
            Duration usual) {
        this.rank = rank;
        this.handle = handle;
        this.group = group;
        this.me = me;
        this.device = device;
        this.life = life;
        this.usual = usual;
        this.limit = usual;
        this.repeated = usual;
        this.inFlight = new InFlight(device);
        this.stream = Raw.handle(device.stream());
    }

    @Override
    public boolean carries(Buffer buffer) {
        return buffer instanceof DeviceBuffer;
    }

    @Override
    public boolean isRecordable() {
        return true;
    }

    @Override
    public void begin(Duration deadline) {
        limit = deadline;
    }

    private static long address(Buffer buffer) {
        return ((DeviceBuffer) buffer).address();
    }

    private void call(OperationTag tag, NcclHandle.Call body) {
        queue(List.of(tag), tag, () -> handle.call(tag, limit, body));
    }

    private void group(OperationTag tag, NcclHandle.Call body) {
        queue(List.of(tag), tag, () -> handle.group(tag, limit, body));
    }

    private void queue(List<OperationTag> tags, Object called, Runnable calls) {
        device.enter();
        try {
            calls.run();
        } catch (CommunicatorException known) {
            throw known;
        } catch (LockstepException failure) {
            throw failed(tags.get(0), limit, failure);
        }
        last = tags.get(0);
        if (device.isCapturing()) {
            repeated = limit;
        }
        inFlight.add(tags, called, limit);
    }

    /** What NCCL knows of another rank, that rank's links know better. */
    private CommunicatorException failed(OperationTag tag, Duration deadline, LockstepException failure) {
        life.requireAlive(tag); // the first cause, where this is but its consequence
        boolean ofOthers = failure.code() == ErrorCode.COLLECTIVE_MISMATCH
                || failure.code() == ErrorCode.COLLECTIVE_TIMEOUT
                || failure.code() == ErrorCode.PEER_LOST;
        boolean askable = ofOthers && !tag.operation().isTransfer();
        return life.fail(tag, failure, askable ? Optional.of(deadline) : Optional.empty());
    }

    /** Something that takes NCCL's number of a reduction. */
    private interface Reduction {
        void by(int op);
    }

    private void reducing(OperationTag tag, DataType type, ReduceOp op, Reduction body) {
        if (op.kind() != ReduceOp.Kind.PREMULTIPLIED_SUM) {
            body.by(NcclNumbers.of(op.kind()));
            return;
        }
        try (Memory made = new Memory(Integer.BYTES);
                Memory factor = NcclNumbers.scalar(type, op.factor())) {
            handle.call(
                    tag,
                    limit,
                    communicator -> NcclFunctions.ncclRedOpCreatePreMulSum(
                            Pointer.nativeValue(made),
                            Pointer.nativeValue(factor),
                            NcclNumbers.of(type),
                            PREMULTIPLIED_HOST_SCALAR,
                            communicator));
            int own = made.getInt(0);
            body.by(own);
            handle.call(tag, limit, communicator -> NcclFunctions.ncclRedOpDestroy(own, communicator));
        }
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        long from = address(send);
        long to = address(receive);
        reducing(
                tag,
                send.type(),
                op,
                by -> call(
                        tag,
                        communicator -> NcclFunctions.ncclAllReduce(
                                from, to, send.length(), NcclNumbers.of(send.type()), by, communicator, stream)));
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        long from = address(send);
        long to = address(receive);
        reducing(
                tag,
                send.type(),
                op,
                by -> call(
                        tag,
                        communicator -> NcclFunctions.ncclReduce(
                                from, to, send.length(), NcclNumbers.of(send.type()), by, root, communicator, stream)));
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        long from = address(send);
        long to = address(receive);
        call(
                tag,
                communicator -> NcclFunctions.ncclBroadcast(
                        from, to, send.length(), NcclNumbers.of(send.type()), root, communicator, stream));
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        long from = address(send);
        long to = address(receive);
        int type = NcclNumbers.of(send.type());
        if (tag.operation() == OperationTag.Operation.ALL_GATHER) {
            call(tag, communicator -> NcclFunctions.ncclAllGather(from, to, send.length(), type, communicator, stream));
            return;
        }
        group(tag, communicator -> {
            int result = NcclResult.SUCCESS;
            for (int root = 0; root < group.size() && result == NcclResult.SUCCESS; root++) {
                if (blocks.count(root) > 0) {
                    long block = to + blocks.from(root) * send.type().bytes();
                    result = NcclFunctions.ncclBroadcast(
                            root == me ? from : block, block, blocks.count(root), type, root, communicator, stream);
                }
            }
            return result;
        });
    }

    @Override
    public void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        long from = address(send);
        long to = address(receive);
        int type = NcclNumbers.of(send.type());
        reducing(tag, send.type(), op, by -> {
            if (tag.operation() == OperationTag.Operation.REDUCE_SCATTER) {
                call(
                        tag,
                        communicator -> NcclFunctions.ncclReduceScatter(
                                from, to, receive.length(), type, by, communicator, stream));
                return;
            }
            group(tag, communicator -> {
                int result = NcclResult.SUCCESS;
                for (int root = 0; root < group.size() && result == NcclResult.SUCCESS; root++) {
                    if (blocks.count(root) > 0) {
                        long block = from + blocks.from(root) * send.type().bytes();
                        result = NcclFunctions.ncclReduce(
                                block,
                                root == me ? to : block,
                                blocks.count(root),
                                type,
                                by,
                                root,
                                communicator,
                                stream);
                    }
                }
                return result;
            });
        });
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        if (receive == null) {
            call(tag, communicator -> transfer(true, send, root, communicator));
            return;
        }
        Blocks blocks = Blocks.even(group.size(), send.length());
        exchange(tag, null, blocks, (DeviceBuffer) receive, blocks);
        copy((DeviceBuffer) send, (DeviceBuffer) blocks.of(receive, me));
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        if (send == null) {
            call(tag, communicator -> transfer(false, receive, root, communicator));
            return;
        }
        Blocks blocks = Blocks.even(group.size(), receive.length());
        exchange(tag, (DeviceBuffer) send, blocks, null, blocks);
        copy((DeviceBuffer) blocks.of(send, me), (DeviceBuffer) receive);
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        exchange(tag, (DeviceBuffer) send, sendBlocks, (DeviceBuffer) receive, receiveBlocks);
        copy((DeviceBuffer) sendBlocks.of(send, me), (DeviceBuffer) receiveBlocks.of(receive, me));
    }

    private static void copy(DeviceBuffer from, DeviceBuffer to) {
        to.copyFrom(from);
    }

    /** Blocks to and from all others; null where there is nothing to send, or to receive. */
    private void exchange(
            OperationTag tag,
            @Nullable DeviceBuffer send,
            Blocks sendBlocks,
            @Nullable DeviceBuffer receive,
            Blocks receiveBlocks) {
        group(tag, communicator -> {
            int result = NcclResult.SUCCESS;
            for (int peer = 0; peer < group.size() && result == NcclResult.SUCCESS; peer++) {
                if (peer != me && send != null) {
                    result = transfer(true, sendBlocks.of(send, peer), peer, communicator);
                }
                if (peer != me && receive != null && result == NcclResult.SUCCESS) {
                    result = transfer(false, receiveBlocks.of(receive, peer), peer, communicator);
                }
            }
            return result;
        });
    }

    /** Empty messages are none: both ends know. */
    private int transfer(boolean sends, Buffer data, int peer, long communicator) {
        if (data.length() == 0) {
            return NcclResult.SUCCESS;
        }
        long at = address(data);
        int type = NcclNumbers.of(data.type());
        return sends
                ? NcclFunctions.ncclSend(at, data.length(), type, peer, communicator, stream)
                : NcclFunctions.ncclRecv(at, data.length(), type, peer, communicator, stream);
    }

    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        queue(
                tags,
                transfers.get(0).called(tags.get(0)),
                () -> handle.group(tags.get(0), limit, communicator -> {
                    int result = NcclResult.SUCCESS;
                    for (Transfer each : transfers) {
                        if (result == NcclResult.SUCCESS) {
                            result = transfer(each.sends(), each.buffer(), each.peer(), communicator);
                        }
                    }
                    return result;
                }));
    }

    /**
     * Throws what has failed, here, at a peer or of the world. What a graph repeats has no event of its own: it is known by how
     * long it is waited for. To be called after {@link #oldest}, which asks the device.
     *
     * @param turn whose operation the stream is at: the time of what is behind it does not run yet
     */
    void look(long waited, NcclGroups.Turn turn) {
        InFlight.Entry oldest = inFlight.first();
        OperationTag tag = oldest == null ? last : oldest.first();
        if (tag == null || (oldest == null && waited == 0 && !rank.isAborted())) {
            return; // nothing was ever called, or what was is complete
        }
        Duration deadline = oldest == null ? repeated : oldest.limit();
        life.requireAlive(tag);
        try {
            handle.isReady(tag);
        } catch (LockstepException failure) {
            throw failed(tag, deadline, failure);
        }
        if (Thread.currentThread().isInterrupted()) {
            throw life.fail(
                    tag,
                    new IllegalStateException("its thread was interrupted in " + tag + " in " + group),
                    Optional.empty());
        }
        long since = Objects.equals(oldest, turn.entry()) ? turn.since() : System.nanoTime();
        long under = oldest == null ? waited : System.nanoTime() - since;
        if (under > deadline.toNanos()) {
            throw failed(
                    tag,
                    deadline,
                    LockstepException.report(
                                    ErrorCode.COLLECTIVE_TIMEOUT,
                                    (oldest == null ? tag : oldest.called()) + " in " + group + " not complete on "
                                            + device + " in " + deadline.toMillis() / 1000.0 + " s")
                            .attempt("NCCL_DEBUG=INFO in the environment of the executors tells what it waits for")
                            .exception());
        }
    }

    /** What of this group the device has not come past, and was queued first. */
    Optional<InFlight.Entry> oldest() {
        return Optional.ofNullable(inFlight.oldest());
    }

    @Override
    public List<OperationTag> underWay() {
        return inFlight.tags();
    }

    void freeze() {
        inFlight.freeze();
    }

    void forget() {
        inFlight.close();
    }

    @Override
    public void close() {
        if (rank.isAborted()) {
            return;
        }
        device.enter();
        device.synchronize();
        last = null; // all is complete: who waits for the device from now on waits for none of it
        handle.close(usual);
    }

    @Override
    public void abort() {
        rank.abort();
    }
}
