package org.lockstep.collective;

import java.util.Arrays;
import org.lockstep.tensor.Buffer;

/**
 * How a buffer is cut into one block for each rank of a group, in their order and without gaps. Immutable.
 */
public final class Blocks {
    private final long[] ends;

    private Blocks(long[] ends) {
        this.ends = ends;
    }

    /** {@code ranks} blocks of {@code count} elements each. */
    public static Blocks even(int ranks, long count) {
        long[] ends = new long[ranks];
        for (int rank = 0; rank < ranks; rank++) {
            ends[rank] = Math.multiplyExact(rank + 1L, count);
        }
        return new Blocks(ends);
    }

    /** Blocks that share {@code total} elements; their counts differ by at most one. */
    public static Blocks shares(int ranks, long total) {
        long[] ends = new long[ranks];
        for (int rank = 0; rank < ranks; rank++) {
            ends[rank] = total / ranks * (rank + 1) + total % ranks * (rank + 1) / ranks;
        }
        return new Blocks(ends);
    }

    /**
     * Blocks of these counts.
     *
     * @throws IllegalArgumentException if one is negative
     */
    public static Blocks of(long... counts) {
        long[] ends = new long[counts.length];
        long end = 0;
        for (int rank = 0; rank < counts.length; rank++) {
            if (counts[rank] < 0) {
                throw new IllegalArgumentException("count (" + counts[rank] + ") of rank " + rank + " is negative");
            }
            end = Math.addExact(end, counts[rank]);
            ends[rank] = end;
        }
        return new Blocks(ends);
    }

    /** The number of blocks. */
    public int ranks() {
        return ends.length;
    }

    /** Elements of all blocks. */
    public long total() {
        return ends.length == 0 ? 0 : ends[ends.length - 1];
    }

    /** Where the block of a rank begins, in elements. */
    public long from(int rank) {
        return rank == 0 ? 0 : ends[rank - 1];
    }

    /** Elements of the block of a rank. */
    public long count(int rank) {
        return ends[rank] - from(rank);
    }

    /** The block of a rank in {@code whole}, which has {@link #total()} elements. */
    public Buffer of(Buffer whole, int rank) {
        return whole.slice(from(rank), count(rank));
    }

    @Override
    public String toString() {
        long[] counts = new long[ends.length];
        for (int rank = 0; rank < ends.length; rank++) {
            counts[rank] = count(rank);
        }
        return Arrays.toString(counts);
    }
}
