package org.lockstep.cpu;

import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;

/**
 * Algorithms that go inside the host first. Gather, scatter and all-to-all are those of a group that knows no hosts, for what they
 * move differs for each rank, and crosses once anyway; of a group of more than {@value #DIRECT_RANKS} ranks after the steps of a
 * barrier that carry their tag: a rank in them would wait for others than one that goes inside its host.
 */
abstract class HostwiseCollectives extends Collectives {
    private final Collectives flat;

    HostwiseCollectives(Mesh mesh, int rankInGroup, int size) {
        super(mesh, rankInGroup, size);
        this.flat = flat(mesh, rankInGroup, size);
    }

    @Override
    final void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        agree(tag);
        flat.gather(tag, send, receive, root);
    }

    @Override
    final void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        agree(tag);
        flat.scatter(tag, send, receive, root);
    }

    @Override
    final void allToAll(
            OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        agree(tag);
        flat.allToAll(tag, send, sendBlocks, receive, receiveBlocks);
    }

    private void agree(OperationTag tag) {
        if (size > DIRECT_RANKS) {
            barrier(tag);
        }
    }

    /** Where a result in the type of {@code mine} goes that is to be in {@code receive}. */
    static HostBuffer like(HostBuffer mine, HostBuffer receive) {
        return mine.type() == receive.type() ? receive : HostBuffer.allocate(mine.type(), receive.length());
    }

    final void clear() {
        offerToAll(null);
        targetNothing();
    }

    /** Ends an operation: no peer looks at this rank's memory any more, and nothing is kept. */
    final void settle() {
        mesh.settle();
        clear();
    }
}
