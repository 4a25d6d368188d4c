package org.lockstep.collective;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.Buffer;

/**
 * How a buffer is cut into one block for each rank of a group, in their order and without gaps. Immutable.
 */
public final class Blocks {
    private final int ranks;
    private final long each; // where all have the same count, for these are made on every small operation
    private final long @Nullable [] ends;

    private Blocks(int ranks, long each, long @Nullable [] ends) {
        this.ranks = ranks;
        this.each = each;
        this.ends = ends;
    }

    /**
     * {@code ranks} blocks of {@code count} elements each.
     *
     * @throws IllegalArgumentException if one of them is negative, or there are more than 2^63 - 1 elements in all
     */
    public static Blocks even(int ranks, long count) {
        requireNotNegative(ranks, count);
        if (count > 0 && ranks > Long.MAX_VALUE / count) {
            throw new IllegalArgumentException(
                    ranks + " blocks of " + count + " elements are more than " + Long.MAX_VALUE + " in all");
        }
        return new Blocks(ranks, count, null);
    }

    /**
     * Blocks that share {@code total} elements; their counts differ by at most one.
     *
     * @throws IllegalArgumentException if {@code total} is negative or {@code ranks} not positive
     */
    public static Blocks shares(int ranks, long total) {
        requireNotNegative(ranks, total);
        if (ranks == 0) {
            throw new IllegalArgumentException(total + " elements cannot be shared by no ranks");
        }
        if (total % ranks == 0) {
            return new Blocks(ranks, total / ranks, null);
        }
        long[] ends = new long[ranks];
        for (int rank = 0; rank < ranks; rank++) {
            ends[rank] = total / ranks * (rank + 1) + total % ranks * (rank + 1) / ranks;
        }
        return new Blocks(ranks, 0, ends);
    }

    /**
     * Blocks of these counts.
     *
     * @throws IllegalArgumentException if one is negative, or they are more than 2^63 - 1 elements in all
     */
    public static Blocks of(long... counts) {
        long[] ends = new long[counts.length];
        long end = 0;
        for (int rank = 0; rank < counts.length; rank++) {
            if (counts[rank] < 0) {
                throw new IllegalArgumentException("count (" + counts[rank] + ") of rank " + rank + " is negative");
            }
            if (counts[rank] > Long.MAX_VALUE - end) {
                throw new IllegalArgumentException("counts up to rank " + rank + "'s (" + counts[rank]
                        + ") are more than " + Long.MAX_VALUE + " elements in all");
            }
            end += counts[rank];
            ends[rank] = end;
        }
        return new Blocks(counts.length, 0, ends);
    }

    private static void requireNotNegative(int ranks, long count) {
        if (ranks < 0 || count < 0) {
            throw new IllegalArgumentException(
                    "ranks (" + ranks + ") and elements (" + count + ") must not be negative");
        }
    }

    /** The number of blocks. */
    public int ranks() {
        return ranks;
    }

    /** Elements of all blocks. */
    public long total() {
        return end(ranks);
    }

    /** Where the block of a rank begins, in elements. */
    public long from(int rank) {
        return end(rank);
    }

    /** Elements of the block of a rank. */
    public long count(int rank) {
        return ends == null ? each : ends[rank] - end(rank);
    }

    /** Where the blocks of the first {@code blocks} ranks end. */
    private long end(int blocks) {
        return ends == null ? blocks * each : blocks == 0 ? 0 : ends[blocks - 1];
    }

    /** The block of a rank in {@code whole}, which has {@link #total()} elements. */
    public Buffer of(Buffer whole, int rank) {
        return whole.slice(from(rank), count(rank));
    }

    /** A negative number that differs for almost any other counts, the same in every JVM. */
    int digest() {
        long hash = ranks;
        for (int rank = 0; rank < ranks; rank++) {
            hash = (hash ^ count(rank)) * 0x9e3779b97f4a7c15L;
            hash ^= hash >>> 32;
        }
        return (int) hash | Integer.MIN_VALUE;
    }

    /** The counts. */
    @Override
    public String toString() {
        long[] counts = new long[ranks];
        Arrays.setAll(counts, this::count);
        return Arrays.toString(counts);
    }
}
