package org.lockstep.cuda;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;

/**
 * Carries a device's buffers by NCCL, in the order of the rank's stream, as kernels are, and a graph can record it. A call waits on
 * the host until NCCL has taken it in, microseconds; the first that connects ranks, from NCCL 2.22 on, until they call it too, up to its
 * deadline or the end of the group. What fails later is seen by who waits for the device, or by the next operation ({@link NcclQueue}).
 *
 * <p>Blocks of unequal length go as a group of broadcasts, or of reductions; what NCCL has no operation for as a group of
 * transfers, as NCCL's manual does it.
 */
final class NcclCarrier implements Carrier {
    private static final int PREMULTIPLIED_HOST_SCALAR = 1; // ncclScalarHostImmediate

    private final NcclGroups rank;
    private final NcclQueue queue;
    private final int size;
    private final int me;
    private final NcclGroups.Equipment oldest;

    /** @param oldest of the group */
    NcclCarrier(NcclGroups rank, NcclQueue queue, int size, int me, NcclGroups.Equipment oldest) {
        this.rank = rank;
        this.queue = queue;
        this.size = size;
        this.me = me;
        this.oldest = oldest;
    }

    DeviceQueue queue() {
        return queue.device();
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
        queue.device().begin(deadline);
    }

    @Override
    public Runnable apart(Runnable operations) {
        return queue.device().apart(operations);
    }

    private static long address(Buffer buffer) {
        return ((DeviceBuffer) buffer).address();
    }

    /** Something that takes NCCL's number of a reduction. */
    private interface Reduction {
        void by(int op);
    }

    private void reducing(OperationTag tag, DataType type, ReduceOp op, Reduction body) {
        rank.requireReducible(type, oldest);
        if (op.kind() != ReduceOp.Kind.PREMULTIPLIED_SUM) {
            body.by(NcclNumbers.of(op.kind()));
            return;
        }
        try (Memory made = new Memory(Integer.BYTES);
                Memory factor = NcclNumbers.scalar(type, op.factor())) {
            queue.prepare(
                    tag,
                    communicator -> NcclFunctions.ncclRedOpCreatePreMulSum(
                            Pointer.nativeValue(made),
                            Pointer.nativeValue(factor),
                            NcclNumbers.of(type),
                            PREMULTIPLIED_HOST_SCALAR,
                            communicator));
            int own = made.getInt(0);
            body.by(own);
            queue.prepare(tag, communicator -> NcclFunctions.ncclRedOpDestroy(own, communicator));
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
                by -> queue.call(
                        tag,
                        communicator -> NcclFunctions.ncclAllReduce(
                                from,
                                to,
                                send.length(),
                                NcclNumbers.of(send.type()),
                                by,
                                communicator,
                                queue.stream())));
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        long from = address(send);
        long to = address(receive);
        reducing(
                tag,
                send.type(),
                op,
                by -> queue.call(
                        tag,
                        communicator -> NcclFunctions.ncclReduce(
                                from,
                                to,
                                send.length(),
                                NcclNumbers.of(send.type()),
                                by,
                                root,
                                communicator,
                                queue.stream())));
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        long from = address(send);
        long to = address(receive);
        queue.call(
                tag,
                communicator -> NcclFunctions.ncclBroadcast(
                        from, to, send.length(), NcclNumbers.ofMoved(send.type()), root, communicator, queue.stream()));
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        long from = address(send);
        long to = address(receive);
        int type = NcclNumbers.ofMoved(send.type());
        if (tag.operation() == OperationTag.Operation.ALL_GATHER) {
            queue.call(
                    tag,
                    communicator ->
                            NcclFunctions.ncclAllGather(from, to, send.length(), type, communicator, queue.stream()));
            return;
        }
        queue.group(tag, communicator -> {
            int result = NcclResult.SUCCESS;
            for (int root = 0; root < size && result == NcclResult.SUCCESS; root++) {
                if (blocks.count(root) > 0) {
                    long block = to + blocks.from(root) * send.type().bytes();
                    result = NcclFunctions.ncclBroadcast(
                            root == me ? from : block,
                            block,
                            blocks.count(root),
                            type,
                            root,
                            communicator,
                            queue.stream());
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
                queue.call(
                        tag,
                        communicator -> NcclFunctions.ncclReduceScatter(
                                from, to, receive.length(), type, by, communicator, queue.stream()));
                return;
            }
            queue.group(tag, communicator -> {
                int result = NcclResult.SUCCESS;
                for (int root = 0; root < size && result == NcclResult.SUCCESS; root++) {
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
                                queue.stream());
                    }
                }
                return result;
            });
        });
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        if (receive == null) {
            queue.call(tag, communicator -> transfer(true, send, root, communicator));
            return;
        }
        Blocks blocks = Blocks.even(size, send.length());
        queue.device().copy(send, blocks.of(receive, me));
        exchange(tag, null, blocks, (DeviceBuffer) receive, blocks);
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        if (send == null) {
            queue.call(tag, communicator -> transfer(false, receive, root, communicator));
            return;
        }
        Blocks blocks = Blocks.even(size, receive.length());
        queue.device().copy(blocks.of(send, me), receive);
        exchange(tag, (DeviceBuffer) send, blocks, null, blocks);
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        queue.device().copy(sendBlocks.of(send, me), receiveBlocks.of(receive, me));
        exchange(tag, (DeviceBuffer) send, sendBlocks, (DeviceBuffer) receive, receiveBlocks);
    }

    /** Blocks to and from all others; null where there is nothing to send, or to receive. */
    private void exchange(
            OperationTag tag,
            @Nullable DeviceBuffer send,
            Blocks sendBlocks,
            @Nullable DeviceBuffer receive,
            Blocks receiveBlocks) {
        queue.group(tag, communicator -> {
            int result = NcclResult.SUCCESS;
            for (int peer = 0; peer < size && result == NcclResult.SUCCESS; peer++) {
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
        int type = NcclNumbers.ofMoved(data.type());
        return sends
                ? NcclFunctions.ncclSend(at, data.length(), type, peer, communicator, queue.stream())
                : NcclFunctions.ncclRecv(at, data.length(), type, peer, communicator, queue.stream());
    }

    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        queue.group(tags, transfers.get(0).called(tags.get(0)), communicator -> {
            int result = NcclResult.SUCCESS;
            for (Transfer each : transfers) {
                if (result == NcclResult.SUCCESS) {
                    result = transfer(each.sends(), each.buffer(), each.peer(), communicator);
                }
            }
            return result;
        });
    }

    @Override
    public List<OperationTag> underWay() {
        return queue.device().underWay();
    }

    @Override
    public void close() {
        if (!rank.isAborted()) {
            queue.close();
        }
    }

    @Override
    public void abort() {
        rank.abort();
    }
}
