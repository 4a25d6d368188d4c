package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.collective.Transfer;
import org.lockstep.tensor.Buffer;

/**
 * Carries small all-reduces between devices that reach each other's memory, by a kernel on each that waits for the others'; all else
 * by another carrier. vLLM calls it custom all-reduce.
 *
 * <p>What a rank brings is copied to memory that its peers reach. With n ranks and S bytes a rank then reads (n-1) · S bytes of the
 * others in one shot, or 2 · S · (n-1)/n in two ({@link PeerCarrier#isOneShot}; two ranks never). Results have the bits of the host's. Nothing waits on
 * the host, so that a graph can record it. What is queued goes the same way in its own stream: it begins behind what was called
 * before, and what is called after waits for it, so that one memory is enough, and ranks need not all queue. A graph that repeats an
 * all-reduce knows nothing of that: it must not be launched while an asynchronous one of the same group is not complete.
 */
final class ExchangeCarrier implements Carrier {
    private final Carrier other;
    private final ExchangeMemory memory;
    private final ExchangeKernels kernels;
    private final DeviceQueue queue;
    private final ExchangeGroups rank;

    /** @param queue that the other carrier uses too, if it uses any */
    ExchangeCarrier(
            Carrier other, ExchangeMemory memory, ExchangeKernels kernels, DeviceQueue queue, ExchangeGroups rank) {
        this.other = other;
        this.memory = memory;
        this.kernels = kernels;
        this.queue = queue;
        this.rank = rank;
        queue.add(memory);
    }

    @Override
    public boolean carries(Buffer buffer) {
        return other.carries(buffer);
    }

    @Override
    public boolean isRecordable() {
        return other.isRecordable();
    }

    @Override
    public void begin(Duration limit) {
        queue.begin(limit);
        other.begin(limit);
    }

    @Override
    public Runnable apart(Runnable operations) {
        return other.apart(operations);
    }

    @Override
    public void allReduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op) {
        if (send.bytes() > memory.capacity()) {
            other.allReduce(tag, send, receive, op);
            return;
        }
        queue.queue(
                List.of(tag),
                tag,
                () -> memory.allReduce(kernels, queue.stream(), tag, (DeviceBuffer) send, (DeviceBuffer) receive, op));
    }

    @Override
    public void reduce(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, int root) {
        other.reduce(tag, send, receive, op, root);
    }

    @Override
    public void broadcast(OperationTag tag, Buffer send, Buffer receive, int root) {
        other.broadcast(tag, send, receive, root);
    }

    @Override
    public void allGather(OperationTag tag, Buffer send, Buffer receive, Blocks blocks) {
        other.allGather(tag, send, receive, blocks);
    }

    @Override
    public void reduceScatter(OperationTag tag, Buffer send, Buffer receive, ReduceOp op, Blocks blocks) {
        other.reduceScatter(tag, send, receive, op, blocks);
    }

    @Override
    public void gather(OperationTag tag, Buffer send, @Nullable Buffer receive, int root) {
        other.gather(tag, send, receive, root);
    }

    @Override
    public void scatter(OperationTag tag, @Nullable Buffer send, Buffer receive, int root) {
        other.scatter(tag, send, receive, root);
    }

    @Override
    public void allToAll(OperationTag tag, Buffer send, Blocks sendBlocks, Buffer receive, Blocks receiveBlocks) {
        other.allToAll(tag, send, sendBlocks, receive, receiveBlocks);
    }

    @Override
    public void transfer(List<OperationTag> tags, List<Transfer> transfers) {
        other.transfer(tags, transfers);
    }

    @Override
    public List<OperationTag> underWay() {
        return queue.underWay();
    }

    @Override
    public void close() {
        if (!rank.isAborted()) {
            queue.close();
            memory.letGo();
        }
        other.close();
    }

    @Override
    public void abort() {
        rank.abort();
        other.abort();
    }
}
