package org.lockstep.inference;

import java.util.Arrays;
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
 * second broadcast. Most steps only decode, and fit. Confined to its rank's thread.
 */
final class PlanRelay {
    private static final int LEAST_HEADER = 256;
    private static final int MOST_HEADER = 2048; // what is sent in every step, however few sequences run

    private final Communicator replica;
    private final Kernels kernels;
    private final GeneratorOptions options;
    private final int limit;
    private final int headerSize;

    PlanRelay(Communicator replica, Kernels kernels, GeneratorOptions options) {
        this.replica = replica;
        this.kernels = kernels;
        this.options = options;
        this.limit = StepPlan.encodedLimit(options);
        this.headerSize = Math.max(LEAST_HEADER, Math.min(MOST_HEADER, 1 + StepPlan.encodedDecode(options)));
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
        int[] whole = plan == null ? null : plan.encode();
        int[] first = null;
        if (whole != null) {
            first = new int[headerSize];
            first[0] = whole.length;
            System.arraycopy(whole, 0, first, 1, Math.min(whole.length, headerSize - 1));
        }
        int[] header = broadcast(first, headerSize, root);
        int length = header[0];
        if (length < 1 || length > limit) {
            throw LockstepException.report(
                            ErrorCode.PROTOCOL, "a step plan of " + length + " ints is announced, not 1.." + limit)
                    .exception();
        }
        int inHeader = Math.min(length, headerSize - 1);
        int[] ints = Arrays.copyOf(Arrays.copyOfRange(header, 1, 1 + inHeader), length);
        if (length > inHeader) {
            int[] rest = whole == null ? null : Arrays.copyOfRange(whole, inHeader, length);
            System.arraycopy(broadcast(rest, length - inHeader, root), 0, ints, inHeader, length - inHeader);
        }
        return plan != null ? plan : StepPlan.decode(ints, options);
    }

    /**
     * The root's ints, on all ranks.
     *
     * @param values {@code count} of them on the root; null on all others
     */
    int[] broadcast(int @Nullable [] values, int count, int root) {
        if (count == 0 || (replica.size() == 1 && values != null)) {
            return values == null ? new int[0] : values;
        }
        Buffer buffer = values == null
                ? kernels.zeros(DataType.I32, count).buffer()
                : kernels.upload(HostBuffer.of(DataType.I32, values), count).buffer();
        try (buffer) {
            replica.broadcast(buffer, root);
            return values == null ? buffer.toHost().toInts() : values;
        }
    }
}
