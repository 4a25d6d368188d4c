package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.lockstep.collective.OperationTag;

/** The calls of one NCCL communicator, in its group's {@link DeviceQueue}. Confined to the thread that was admitted. */
final class NcclQueue {
    private final DeviceQueue queue;
    private final NcclHandle handle;
    private final Duration usual; // deadline

    /** @param registers whether what the device allocates from now on is registered with the communicator */
    NcclQueue(DeviceQueue queue, NcclHandle handle, Duration usual, boolean registers) {
        this.queue = queue;
        this.handle = handle;
        this.usual = usual;
        queue.add(new DeviceQueue.Medium() {
            @Override
            public void check(OperationTag tag) {
                handle.isReady(tag);
            }

            @Override
            public Optional<String> advice(OperationTag tag) {
                return Optional.of(
                        "see the logs of the others; NCCL_DEBUG=INFO in the environment of the executors tells what"
                                + " NCCL waits for");
            }

            /** All of the rank's memory or none: ranks that mix the two in one operation have no result that NCCL defines. */
            @Override
            public void allocated(long address, long bytes) {
                if (registers) {
                    handle.register(address, bytes);
                }
            }

            @Override
            public void releasing(long address) {
                handle.deregister(address);
            }
        });
    }

    DeviceQueue device() {
        return queue;
    }

    /** The stream for what is called now, as NCCL takes it. */
    long stream() {
        return Raw.handle(queue.stream());
    }

    /** Calls what queues nothing. */
    void prepare(OperationTag tag, NcclHandle.Call body) {
        handle.call(tag, queue.limit(), () -> queue.requireAlive(tag), body);
    }

    void call(OperationTag tag, NcclHandle.Call body) {
        queue.queue(List.of(tag), tag, () -> prepare(tag, body));
    }

    void group(OperationTag tag, NcclHandle.Call body) {
        group(List.of(tag), tag, body);
    }

    /** @param called what errors call them */
    void group(List<OperationTag> tags, Object called, NcclHandle.Call body) {
        OperationTag tag = tags.get(0);
        queue.queue(tags, called, () -> handle.group(called, queue.limit(), () -> queue.requireAlive(tag), body));
    }

    /** Orderly end of the communicator too: all that was called is complete, or given up at a deadline. */
    void close() {
        queue.close();
        handle.close(usual);
    }
}
