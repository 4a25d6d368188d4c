package org.lockstep.cli.bench;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** What can be measured: the operations of a group, in the order they are measured in. */
public enum Operation {
    ALL_REDUCE,
    ALL_GATHER,
    REDUCE_SCATTER,
    BROADCAST,
    REDUCE,
    GATHER,
    SCATTER,
    ALL_TO_ALL,
    ALL_GATHER_V,
    REDUCE_SCATTER_V,
    ALL_TO_ALL_V,

    /** Between the first rank and the last, there and back; its time is one way. */
    PING_PONG,
    BARRIER;

    /**
     * The operation of a word of the command line or of a peer's name: {@code all-reduce}, {@code all_reduce}; empty if
     * there is none.
     */
    public static Optional<Operation> of(String word) {
        String name = word.toLowerCase(Locale.ROOT).replace('_', '-');
        return Arrays.stream(values())
                .filter(each -> each.word().equals(name) || each.token().equals(name.replace('-', '_')))
                .findFirst();
    }

    /** The words of all operations. */
    public static List<String> words() {
        return Stream.of(values()).map(Operation::word).toList();
    }

    /** As on the command line: {@code all-reduce}. */
    public String word() {
        return this == PING_PONG
                ? "send-receive"
                : name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** As in results: {@code all_reduce}. */
    public String token() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Whether elements are joined by a reduction. */
    public boolean reduces() {
        return this == ALL_REDUCE || this == REDUCE || this == REDUCE_SCATTER || this == REDUCE_SCATTER_V;
    }

    /** Whether one rank is the root. */
    public boolean isRooted() {
        return this == BROADCAST || this == REDUCE || this == GATHER || this == SCATTER;
    }

    /** Whether a buffer is cut into a block for each rank. */
    public boolean hasBlocks() {
        return switch (this) {
            case ALL_REDUCE, BROADCAST, REDUCE, PING_PONG, BARRIER -> false;
            default -> true;
        };
    }

    /** Whether the result may take the place of what was sent. */
    public boolean hasInPlace() {
        return switch (this) {
            case ALL_TO_ALL, ALL_TO_ALL_V, PING_PONG, BARRIER -> false;
            default -> true;
        };
    }

    /** Calls of one way in a call of the loop. */
    int ways() {
        return this == PING_PONG ? 2 : 1;
    }

    /** Bytes on the wire of the busiest rank as a share of the size: busbw / algbw of nccl-tests. */
    public double busFactor(int ranks) {
        if (this == ALL_REDUCE) {
            return 2.0 * (ranks - 1) / ranks;
        }
        return hasBlocks() ? (ranks - 1.0) / ranks : 1;
    }

    @Override
    public String toString() {
        return token();
    }
}
