package org.lockstep.collective;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;

/**
 * What is in a map of tensors that is about to travel: all but the elements. Immutable; travels as an object.
 *
 * @param pieces in how many the sender cuts a tensor whose length allows it; 1 for none
 * @param piece which of them it sends
 * @param entries in the map's order
 */
record TensorContents(int pieces, int piece, List<Entry> entries) {
    /** Of one tensor, for it goes to a Java array. */
    private static final long MOST_ELEMENTS = Integer.MAX_VALUE - 8;

    /**
     * One tensor.
     *
     * @param dims of its shape, outermost first
     */
    record Entry(String name, DataType type, List<Long> dims) {
        Entry {
            Objects.requireNonNull(name, "name"); // for what comes from a peer has been through no compiler of ours
            Objects.requireNonNull(type, "type");
            dims = List.copyOf(dims);
        }

        /**
         * The shape of these dims.
         *
         * @throws IllegalArgumentException if there is none
         */
        Shape shape() {
            try {
                return Shape.of(dims.stream().mapToLong(Long::longValue).toArray());
            } catch (ArithmeticException tooLarge) {
                throw new IllegalArgumentException("the dims " + dims + " make more than 2^63 - 1 elements", tooLarge);
            }
        }
    }

    TensorContents {
        entries = List.copyOf(entries);
    }

    /**
     * The contents of {@code tensors}.
     *
     * @throws IllegalArgumentException if a name is null or twice in it, or a tensor null
     */
    static TensorContents of(Map<String, Tensor> tensors, int pieces, int piece) {
        List<Entry> entries = new ArrayList<>(tensors.size());
        Set<String> names = new HashSet<>();
        for (Map.Entry<String, Tensor> each : tensors.entrySet()) {
            String name = each.getKey();
            Tensor tensor = each.getValue();
            if (name == null || tensor == null) {
                throw new IllegalArgumentException(
                        "a map of tensors has neither null names nor null tensors, but " + name + " = " + tensor);
            }
            if (!names.add(name)) {
                throw new IllegalArgumentException("the name '" + name + "' is twice in the map of tensors");
            }
            Shape shape = tensor.shape();
            List<Long> dims = new ArrayList<>(shape.rank());
            for (int i = 0; i < shape.rank(); i++) {
                dims.add(shape.dim(i));
            }
            entries.add(new Entry(name, tensor.type(), dims));
        }
        return new TensorContents(pieces, piece, entries);
    }

    /**
     * Checks what a peer sent, before any memory is taken for it.
     *
     * @param limit bytes of all tensors
     * @throws IllegalArgumentException with what is wrong
     */
    void requireSound(long limit) {
        Set<String> names = new HashSet<>();
        long left = limit;
        for (Entry entry : entries) {
            if (!names.add(entry.name())) {
                throw new IllegalArgumentException("the name '" + entry.name() + "' twice in a map of tensors");
            }
            long elements = entry.shape().elements();
            if (elements > MOST_ELEMENTS || elements > left / entry.type().bytes()) {
                throw new IllegalArgumentException("a map of tensors beyond the limit of " + limit + " bytes, with '"
                        + entry.name() + "' " + entry.type() + entry.shape());
            }
            left -= elements * entry.type().bytes();
        }
    }
}
