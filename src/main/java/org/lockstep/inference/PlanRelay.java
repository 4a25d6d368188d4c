package org.lockstep.inference;

import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Communicator;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;

/**
 * Carries a step's plan and tokens from one rank to all of its replica.
 *
 * <p>A plan goes out as a header of fixed size, its first int the length of the whole; what does not fit follows in a
 * second broadcast. Most steps only decode, and fit: those go through room that is made once. Confined to its rank's thread.
 */
final class PlanRelay implements AutoCloseable {
    private static final int LEAST_HEADER = 256;
    private static final int MOST_HEADER = 2048; // what is sent in every step, however few sequences run

    private final Communicator replica;
    private final Kernels kernels;
    private final PlanReader reader;
    private final int limit;
    private final int headerSize;
    private final Buffer moved;
    private final HostBuffer room; // the same memory where that is the host's, else its copy

    /** @param lanes most micro-batches in flight */
    PlanRelay(Communicator replica, Kernels kernels, GeneratorOptions options, int lanes) {
        this.replica = replica;
        this.kernels = kernels;
        this.reader = new PlanReader(options, lanes);
        this.limit = StepPlan.encodedLimit(options);
        this.headerSize = Math.max(LEAST_HEADER, Math.min(MOST_HEADER, 1 + StepPlan.encodedDecode(options)));
        this.moved = kernels.zeros(DataType.I32, Math.max(headerSize, options.maxSequences()))
                .buffer();
        this.room = moved.toHost();
    }

    /**
     * The root's plan, on all ranks.
     *
     * @param plan null but on the root
     */
    StepPlan share(@Nullable StepPlan plan, int root) {
        if (replica.size() == 1 && plan != null) {
            return plan;
        }
        int[] header = room.ints();
        int[] whole = plan != null && plan.encodedSize() >= headerSize ? plan.encode() : null;
        if (whole != null) {
            header[0] = whole.length;
            System.arraycopy(whole, 0, header, 1, headerSize - 1);
        } else if (plan != null) {
            header[0] = plan.encodedSize();
            plan.encode(header, 1);
        }
        move(moved.slice(0, headerSize), room.slice(0, headerSize), root);
        int length = header[0];
        if (length < 1 || length > limit) {
            throw LockstepException.report(
                            ErrorCode.PROTOCOL, "a step plan of " + length + " ints is announced, not 1.." + limit)
                    .exception();
        }
        if (length < headerSize) {
            return plan != null ? plan : reader.read(header, 1, length);
        }
        int[] ints = whole == null ? new int[length] : whole;
        System.arraycopy(header, 1, ints, 0, headerSize - 1);
        HostBuffer rest = HostBuffer.of(DataType.I32, ints).slice(headerSize - 1, length - (headerSize - 1));
        try (Buffer sent = kernels.upload(rest, rest.size()).buffer()) {
            move(sent, rest, root);
        }
        return plan != null ? plan : reader.read(ints, 0, length);
    }

    /** Makes the first {@code count} of {@code values} those of the root, on all ranks. */
    void broadcast(int[] values, int count, int root) {
        if (count == 0 || replica.size() == 1) {
            return;
        }
        System.arraycopy(values, 0, room.ints(), 0, count);
        move(moved.slice(0, count), room.slice(0, count), root);
        System.arraycopy(room.ints(), 0, values, 0, count);
    }

    /** Brings the root's {@code host} to that of all ranks, by way of {@code device}. */
    private void move(Buffer device, HostBuffer host, int root) {
        boolean mine = replica.rankInGroup() == root;
        boolean apart = device.memory() != host.memory();
        if (mine && apart) {
            device.copyFrom(host);
        }
        replica.broadcast(device, root);
        if (!mine && apart) {
            device.copyTo(host);
        }
    }

    @Override
    public void close() {
        moved.close();
    }
}
