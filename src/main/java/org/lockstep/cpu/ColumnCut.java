package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.lockstep.collective.Blocks;
import org.lockstep.tensor.HostBuffer;

/**
 * How a buffer lies that is cut into one part for each column of a group, and each of those into one for each host. Immutable.
 *
 * @param group whose columns they are
 * @param columns of the buffer
 * @param hosts of each column
 */
record ColumnCut(Hosts group, Blocks columns, List<Blocks> hosts) {
    ColumnCut {
        hosts = List.copyOf(hosts);
    }

    /** Equal shares of {@code length} elements. */
    static ColumnCut shares(Hosts group, long length) {
        Blocks columns = Blocks.shares(group.columns(), length);
        return new ColumnCut(
                group,
                columns,
                IntStream.range(0, columns.ranks())
                        .mapToObj(column -> Blocks.shares(group.count(), columns.count(column)))
                        .toList());
    }

    /** The blocks of ranks in another order: each with the column that carries it, on the part of its host. */
    static ColumnCut carrying(Hosts group, Blocks blocks) {
        List<Blocks> parts = new ArrayList<>();
        long[] all = new long[group.columns()];
        for (int column = 0; column < all.length; column++) {
            long[] counts = new long[group.count()];
            for (int host = 0; host < counts.length; host++) {
                counts[host] = group.carried(column, host).stream()
                        .mapToLong(blocks::count)
                        .sum();
            }
            parts.add(Blocks.of(counts));
            all[column] = parts.get(column).total();
        }
        return new ColumnCut(group, Blocks.of(all), parts);
    }

    HostBuffer column(HostBuffer whole, int column) {
        return (HostBuffer) columns.of(whole, column);
    }

    HostBuffer part(HostBuffer whole, int column, int host) {
        return (HostBuffer) hosts.get(column).of(column(whole, column), host);
    }

    /** What to do with a rank's block, and where it lies among those that are carried. */
    @FunctionalInterface
    interface OfBlock {
        void by(int rank, HostBuffer place);
    }

    /** Goes through the blocks in one part. */
    void eachBlock(HostBuffer part, Blocks blocks, int column, int host, OfBlock body) {
        long at = 0;
        for (int rank : group.carried(column, host)) {
            body.by(rank, part.slice(at, blocks.count(rank)));
            at += blocks.count(rank);
        }
    }

    /** Goes through all blocks. */
    void eachBlock(HostBuffer whole, Blocks blocks, OfBlock body) {
        for (int column = 0; column < columns.ranks(); column++) {
            for (int host = 0; host < group.count(); host++) {
                eachBlock(part(whole, column, host), blocks, column, host, body);
            }
        }
    }
}
