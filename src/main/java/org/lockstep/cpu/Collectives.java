package org.lockstep.cpu;

import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Blocks;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.transport.Mesh;
import org.lockstep.transport.Pairs;

/**
 * The operations of all ranks of a {@link Mesh}, of a group or of some of one, by the algorithms that fit it.
 *
 * <p>A group begins each with what tells every rank of a mismatch in that very operation: up to {@value
 * DirectCollectives#DIRECT_RANKS} ranks all tell all others their tags in every step, more than that go through a barrier first
 * ({@link AgreeingCollectives}). Some ranks of a group, which {@link LayeredCollectives} puts together, have agreed before.
 *
 * <p>Every algorithm adds in the one order of {@link Reduction}, by rank. Confined to the thread that the communicator admitted.
 */
interface Collectives {
    /**
     * Those of a group.
     *
     * @param hosts by rank in group: equal for ranks that share memory
     */
    static Collectives of(Mesh mesh, int[] hosts) {
        Hosts byHost = Hosts.of(hosts, mesh.rank());
        if (!byHost.isSpread()) {
            return flat(mesh);
        }
        if (!byHost.isInColumn()) {
            return new UnevenCollectives(mesh, byHost, null);
        }
        Collectives across = agreed(mesh.among(byHost.column(byHost.place())), mesh.size());
        return byHost.isCutAlike()
                ? new AlikeCollectives(mesh, byHost, across)
                : new UnevenCollectives(mesh, byHost, across);
    }

    /** Those of a group that knows no hosts. */
    static Collectives flat(Mesh mesh) {
        Collectives agreed = agreed(mesh, mesh.size());
        return mesh.size() > DirectCollectives.DIRECT_RANKS ? new AgreeingCollectives(agreed) : agreed;
    }

    /**
     * Those of ranks that are in the same operation. Where not all pairs are connected from the beginning they keep to few.
     *
     * @param group how many ranks are in the group whose connections these use
     */
    static Collectives agreed(Mesh mesh, int group) {
        if (mesh.size() <= DirectCollectives.DIRECT_RANKS) {
            return new DirectCollectives(mesh);
        }
        return group <= Pairs.ALL ? new SharesCollectives(mesh) : new HalvingCollectives(mesh);
    }

    /** How many ranks there are. */
    int size();

    /**
     * What all ranks send, joined, on all.
     *
     * @param receive may be {@code send}
     */
    void allReduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining);

    /**
     * What all ranks send, joined, on the root.
     *
     * @param receive may be {@code send}; changed on the root alone
     */
    void reduce(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, int root);

    /**
     * What all ranks send, joined, each rank's block on that rank.
     *
     * @param receive may be this rank's block of {@code send}
     */
    void reduceScatter(OperationTag tag, HostBuffer send, HostBuffer receive, Joining joining, Blocks blocks);

    /**
     * What each rank sends, as its block on all.
     *
     * @param send may be this rank's block of {@code receive}
     */
    void allGather(OperationTag tag, HostBuffer send, HostBuffer receive, Blocks blocks);

    /**
     * What the root sends, on all.
     *
     * @param send is read on the root alone, and may be {@code receive}
     */
    void broadcast(OperationTag tag, HostBuffer send, HostBuffer receive, int root);

    /**
     * What each rank sends, as its block on the root.
     *
     * @param receive null but on the root, where {@code send} may be a block of it
     */
    void gather(OperationTag tag, HostBuffer send, @Nullable HostBuffer receive, int root);

    /**
     * Each rank's block of what the root sends.
     *
     * @param send null but on the root, where {@code receive} may be a block of it
     */
    void scatter(OperationTag tag, @Nullable HostBuffer send, HostBuffer receive, int root);

    /** Blocks from each to each, of any lengths. */
    void allToAll(OperationTag tag, HostBuffer send, Blocks sendBlocks, HostBuffer receive, Blocks receiveBlocks);

    /** Returns when all ranks are in the operation of this tag. */
    void barrier(OperationTag tag);
}
