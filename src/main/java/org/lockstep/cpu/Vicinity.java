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

    private Vicinity(int[] hosts, BitSet linked) {
        this.hosts = hosts;
        this.linked = linked;
    }

    /** Of rank in group {@code me}. */
    static Vicinity of(ProcessGroup group, int me, Roster roster) {
        int size = group.size();
        BitSet linked = new BitSet(size);
        IntStream.range(0, size)
                .filter(peer ->
                        peer != me && (Pairs.isConnected(size, me, peer) || shareMemory(group, me, peer, roster)))
                .forEach(linked::set);
        return new Vicinity(hosts(group, roster), linked);
    }

    /** By rank in group: equal for ranks that share memory; all equal in a group that is too large for that to matter. */
    int[] hosts() {
        return hosts.clone();
    }

    /** Whether it can send to that rank in group, and the other way round. */
    boolean reaches(int peer) {
        return linked.get(peer);
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
