package org.lockstep.cuda;

import java.util.List;
import org.lockstep.collective.OperationTag;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;

/**
 * An all-reduce as kernels compare it with their peers': what must be equal on all ranks, in 32 bits, from which errors read it. Not
 * its sequence: a graph repeats it. Immutable.
 *
 * @param op how elements are joined
 * @param type of the elements
 * @param count of the elements, below 2^{@value #COUNT_BITS}
 */
record ExchangeCall(ReduceOp.Kind op, DataType type, long count) {
    /** What {@link #count} has at most, and some more. */
    static final int COUNT_BITS = 25;

    private static final int KINDS = (1 << (31 - COUNT_BITS)) - 1; // of ops and types together, at most
    private static final List<DataType> TYPES = List.of(DataType.values());
    private static final List<ReduceOp.Kind> OPS = List.of(ReduceOp.Kind.values());
    private static final int USED = 1 << 31; // nobody's call is 0, as memory is at first

    static ExchangeCall of(OperationTag tag) {
        if (tag.op() == null || tag.type() == null) {
            throw new IllegalArgumentException(tag + " reduces nothing");
        }
        return new ExchangeCall(tag.op(), tag.type(), tag.count());
    }

    /** The call of a fingerprint, which some rank's kernel had. */
    static ExchangeCall of(int fingerprint) {
        int kind = (fingerprint >>> COUNT_BITS) & KINDS;
        return new ExchangeCall(
                OPS.get(kind / TYPES.size()), TYPES.get(kind % TYPES.size()), fingerprint & ((1 << COUNT_BITS) - 1));
    }

    /** Equal for equal calls only. */
    int fingerprint() {
        int kind = OPS.indexOf(op) * TYPES.size() + TYPES.indexOf(type);
        return USED | (kind << COUNT_BITS) | (int) count;
    }

    /** As errors show it: {@code all_reduce sum f32[1000]}. */
    @Override
    public String toString() {
        return OperationTag.Operation.ALL_REDUCE + " " + op + " " + type + "[" + count + "]";
    }
}
