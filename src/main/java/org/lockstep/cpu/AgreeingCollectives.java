package org.lockstep.cpu;

import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;

/**
 * The operations of others, each after a barrier that carries its tag: trees and rings of two operations wait for different
 * peers, and would wait for each other, where these compare all ranks' tags along the same paths. No rank ends its part before
 * all have begun theirs, so each is told of a mismatch in that operation. Confined as those.
 *
 * <p>An operation of n ranks takes ⌈log2 n⌉ steps more than there, of tags without bytes; a barrier takes none more.
 */
final class AgreeingCollectives implements Collectives {
    private final Collectives agreed;

    AgreeingCollectives(Collectives agreed) {
        this.agreed = agreed;
    }

    @Override
    public int size() {
        return agreed.size();
    }

    @Override
    public void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining) {
        barrier(tag);
        agreed.allReduce(tag, send, receive, joining);
    }

    @Override
    public void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root) {
        barrier(tag);
        agreed.reduce(tag, send, receive, joining, root);
    }

    @Override
    public void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks) {
        barrier(tag);
        agreed.reduceScatter(tag, send, receive, joining, blocks);
    }

    @Override
    public void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks) {
        barrier(tag);
        agreed.allGather(tag, send, receive, blocks);
    }

    @Override
    public void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root) {
        barrier(tag);
        agreed.broadcast(tag, send, receive, root);
    }

    @Override
    public void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root) {
        barrier(tag);
        agreed.gather(tag, send, receive, root);
    }

    @Override
    public void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root) {
        barrier(tag);
        agreed.scatter(tag, send, receive, root);
    }

    @Override
    public void allToAll(
            OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks) {
        barrier(tag);
        agreed.allToAll(tag, send, sendBlocks, receive, receiveBlocks);
    }

    @Override
    public void barrier(OperationTag tag) {
        agreed.barrier(tag);
    }
}
