package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.List;
import org.lockstep.collective.Blocks;
import org.lockstep.tensor.HostBuffer;

/** How the blocks of all ranks lie by who carries them: column after column, and in each host after host. Immutable. */
final class ColumnCut {
    private final Blocks blocks;
    private final long[] at; // where each rank's begins
    private final Blocks columns;
    private final List<Blocks> hosts; // of each column

    ColumnCut(Hosts group, Blocks blocks) {
        this.blocks = blocks;
        this.at = new long[blocks.ranks()];
        long[] lengths = new long[group.columns()];
        List<Blocks> all = new ArrayList<>();
        long end = 0;
        for (int column = 0; column < lengths.length; column++) {
            long[] parts = new long[group.count()];
            for (int host = 0; host < parts.length; host++) {
                for (int rank : group.carried(column, host)) {
                    at[rank] = end;
                    end += blocks.count(rank);
                    parts[host] += blocks.count(rank);
                }
            }
            all.add(Blocks.of(parts));
            lengths[column] = all.get(column).total();
        }
        this.columns = Blocks.of(lengths);
        this.hosts = List.copyOf(all);
    }

    /** The columns of the whole. */
    Blocks columns() {
        return columns;
    }

    /** The hosts of one column. */
    Blocks hosts(int column) {
        return hosts.get(column);
    }

    HostBuffer column(HostBuffer packed, int column) {
        return (HostBuffer) columns.of(packed, column);
    }

    /** The block of a rank. */
    HostBuffer block(HostBuffer packed, int rank) {
        return packed.slice(at[rank], blocks.count(rank));
    }

    /** All blocks in this order. */
    HostBuffer pack(HostBuffer whole) {
        HostBuffer packed = HostBuffer.allocate(whole.type(), whole.length());
        for (int rank = 0; rank < at.length; rank++) {
            block(packed, rank).copyFrom((HostBuffer) blocks.of(whole, rank));
        }
        return packed;
    }

    /** All blocks in the order of ranks. */
    void unpack(HostBuffer packed, HostBuffer whole) {
        for (int rank = 0; rank < at.length; rank++) {
            ((HostBuffer) blocks.of(whole, rank)).copyFrom(block(packed, rank));
        }
    }
}
