package org.lockstep.collective;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.DataType;

/**
 * What one rank is about to do, as its peers must be doing too: an operation's fingerprint. Immutable.
 *
 * <p>Two ranks of a group agree if their tags are equal. For a transfer between two ranks both carry the sender's words:
 * {@link Operation#SEND}, its count of sends to that peer, and the receiver as {@code root}.
 *
 * @param sequence the how-manieth of its communicator, or of its pair of ranks, from 1
 * @param operation what
 * @param op how elements are joined, for a reduction
 * @param type of the elements; null where none travel
 * @param count elements of the caller's buffer
 * @param root rank in group whose data it is, or that receives; -1 where all are equal, and a negative digest of the counts
 *     where the blocks are of unequal length
 */
public record OperationTag(
        long sequence,
        Operation operation,
        ReduceOp.@Nullable Kind op,
        @Nullable DataType type,
        long count,
        int root) implements Serializable {

    /** The operations of the contract, as errors call them. */
    public enum Operation {
        CONNECT,
        ALL_REDUCE,
        REDUCE,
        BROADCAST,
        ALL_GATHER,
        ALL_GATHER_V,
        REDUCE_SCATTER,
        REDUCE_SCATTER_V,
        GATHER,
        SCATTER,
        ALL_TO_ALL,
        ALL_TO_ALL_V,
        BARRIER,
        BROADCAST_OBJECT,
        ALL_GATHER_OBJECT,
        SEND,
        SEND_OBJECT;

        private final String label = name().toLowerCase(Locale.ROOT);

        @Override
        public String toString() {
            return label;
        }

        /** Whether each pair of ranks has a count of its own in it. */
        public boolean isRagged() {
            return this == ALL_TO_ALL_V;
        }

        /** Whether it concerns two ranks only. */
        public boolean isTransfer() {
            return this == SEND || this == SEND_OBJECT;
        }
    }

    /** This tag of another number of elements. */
    public OperationTag withCount(long other) {
        return new OperationTag(sequence, operation, op, type, other, root);
    }

    /** In which attributes the two differ, in words; empty if they agree. */
    public String difference(OperationTag other) {
        List<String> differ = new ArrayList<>();
        if (operation != other.operation) {
            differ.add("operation");
        }
        if (sequence != other.sequence) {
            differ.add("sequence");
        }
        if (op != other.op) {
            differ.add("reduce op");
        }
        if (type != other.type) {
            differ.add("type");
        }
        if (count != other.count) {
            differ.add("count");
        }
        if (root != other.root) {
            differ.add(operation.isTransfer() ? "peer" : root < 0 && other.root < 0 ? "counts of the blocks" : "root");
        }
        return String.join(", ", differ);
    }

    /** As errors show it to who expects it of {@code sender}: {@code receive #3 f32[4] from 1} for a transfer. */
    public String asExpected(int sender) {
        if (!operation.isTransfer()) {
            return toString();
        }
        String name = operation == Operation.SEND ? "receive" : "receive_object";
        return name + " #" + sequence + (type == null ? "" : " " + type + "[" + count + "]") + " from " + sender;
    }

    /** As errors show it: {@code all_reduce #12 sum f32[1000]}, {@code broadcast #3 i32[4] root 1}. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder().append(operation).append(" #").append(sequence);
        if (op != null) {
            text.append(' ').append(op);
        }
        if (type != null) {
            text.append(' ').append(type).append('[').append(count).append(']');
        }
        if (root >= 0) {
            text.append(operation.isTransfer() ? " to " : " root ").append(root);
        }
        return text.toString();
    }
}
