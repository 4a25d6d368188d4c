package org.lockstep.cuda;

import java.nio.ByteBuffer;
import java.util.stream.IntStream;
import org.lockstep.collective.ReduceOp;
import org.lockstep.tensor.DataType;

/**
 * The first all-reduce of a group, whose result each rank knows beforehand: a sum of small whole numbers, exact in whatever order, of
 * which each rank has a share and a factor. Immutable.
 *
 * @param me rank in group
 * @param ranks of the group
 * @param count of the elements, f32
 */
record ExchangeTrial(int me, int ranks, int count) {
    private static final int EACH = 4; // elements that one rank joins

    /** Bytes of the largest. */
    static final int MOST = EACH * Float.BYTES * PeerReduction.MOST;

    /** Of as many elements as there is room for, one share for each rank at most. */
    static ExchangeTrial of(int me, int ranks, long bytes) {
        return new ExchangeTrial(me, ranks, (int) Math.min((long) EACH * ranks, bytes / Float.BYTES));
    }

    ExchangeCall call() {
        return new ExchangeCall(ReduceOp.Kind.PREMULTIPLIED_SUM, DataType.F32, count);
    }

    long bytes() {
        return (long) Float.BYTES * count;
    }

    /** By what this rank's elements are multiplied. */
    double factor() {
        return factor(me);
    }

    /** Writes what this rank brings. */
    void write(ByteBuffer memory, int at) {
        for (int i = 0; i < count; i++) {
            memory.putFloat(at + Float.BYTES * i, term(me, i));
        }
    }

    /** Whether the result is what it should be. */
    boolean isRight(ByteBuffer memory, int at) {
        return IntStream.range(0, count).allMatch(i -> memory.getFloat(at + Float.BYTES * i) == sum(i));
    }

    private double sum(int index) {
        return IntStream.range(0, ranks)
                .mapToDouble(rank -> factor(rank) * term(rank, index))
                .sum();
    }

    private static double factor(int rank) {
        return 1 + rank;
    }

    /** Never as large as the sum: who was not written to sees it. */
    private static float term(int rank, int index) {
        return 1 + rank + index;
    }
}
