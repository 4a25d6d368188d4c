package org.lockstep.cpu;

import java.util.BitSet;
import java.util.stream.IntStream;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Pairs;

/** Which ranks of a group share memory with one of them, and which it is connected to. Immutable. */
final class Vicinity {
    private final int[] hosts;
    private final BitSet linked;
    private final boolean whole;

    private Vicinity(int[] hosts, BitSet linked, boolean whole) {
        this.hosts = hosts;
        this.linked = linked;
        this.whole = whole;
    }

    /** Of rank in group {@code me}. */
    static Vicinity of(ProcessGroup group, int me, Roster roster) {
        int size = group.size();
        BitSet linked = new BitSet(size);
        IntStream.range(0, size)
                .filter(peer ->
                        peer != me && (Pairs.isConnected(size, me, peer) || shareMemory(group, me, peer, roster)))
                .forEach(linked::set);
        boolean whole =
                size <= Pairs.ALL || IntStream.range(1, size).allMatch(peer -> shareMemory(group, 0, peer, roster));
        return new Vicinity(hosts(group, roster), linked, whole);
    }

    /** By rank in group: equal for ranks that share memory; all equal in a group that is too large for that to matter. */
    int[] hosts() {
        return hosts.clone();
    }

    /** Whether it can send to that rank in group, and the other way round. */
    boolean reaches(int peer) {
        return linked.get(peer);
    }

    /** Whether each rank of the group reaches each other. */
    boolean isWhole() {
        return whole;
    }

    private static boolean shareMemory(ProcessGroup group, int one, int other, Roster roster) {
        return roster.transport(group.rank(one), group.rank(other)) != TransportKind.TCP;
    }

    private static int[] hosts(ProcessGroup group, Roster roster) {
        int[] hosts = new int[group.size()];
        for (int rank = 0; rank < hosts.length && hosts.length <= Pairs.ALL; rank++) {
            while (hosts[rank] < rank && !shareMemory(group, hosts[rank], rank, roster)) {
                hosts[rank]++;
            }
        }
        return hosts;
    }
}
