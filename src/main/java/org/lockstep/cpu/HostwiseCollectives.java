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
    private static final long ONE_STEP_BYTES = 16 * 1024;

    final Hosts hosts;
    final Mesh.Circle near;
    private final Collectives flat;

    HostwiseCollectives(Mesh mesh, int rankInGroup, int size, Hosts hosts) {
        super(mesh, rankInGroup, size);
        this.hosts = hosts;
        this.near = mesh.circle(hosts.near());
        this.flat = flat(mesh, rankInGroup, size);
    }

    /** Whether it costs less that each rank sends so many bytes to other hosts than that it takes another step. */
    static boolean isOneStep(long bytes) {
        return bytes <= ONE_STEP_BYTES;
    }

    /** Member i of the circle shows block i of {@code whole} to all of it; the caller is the one at {@code place}, or has none. */
    final void show(Mesh.Circle circle, OperationTag tag, Blocks blocks, HostBuffer whole, int place) {
        clear();
        if (place < blocks.ranks()) {
            offerToAll(block(blocks, whole, place));
        }
        for (int i = 0; i < blocks.ranks(); i++) {
            targets[circle.member(i)] = block(blocks, whole, i);
        }
        mesh.exchange(circle, tag, offers, targets);
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
