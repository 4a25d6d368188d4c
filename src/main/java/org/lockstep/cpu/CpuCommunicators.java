package org.lockstep.cpu;

import java.util.List;
import java.util.Map;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.Traffic;
import org.lockstep.topology.GroupKind;

/** The live groups of one rank: kinds with the same ranks share one communicator. Threads: as the interface says. */
final class CpuCommunicators implements Communicators {
    private final int rank;
    private final Map<GroupKind, Communicator> byKind;
    private final List<Communicator> live;
    private final Runnable end;

    /** The communicators of {@code live}, in the order of making; {@code end} frees what they have in common. */
    CpuCommunicators(int rank, Map<GroupKind, Communicator> byKind, List<Communicator> live, Runnable end) {
        this.rank = rank;
        this.byKind = Map.copyOf(byKind);
        this.live = List.copyOf(live);
        this.end = end;
    }

    @Override
    public Communicator of(GroupKind kind) {
        Communicator found = byKind.get(kind);
        if (found == null) {
            throw new IllegalStateException("rank " + rank + " has no live group of kind " + kind
                    + "; it has " + byKind.keySet().stream().sorted().toList()
                    + ", as asked for by WorldSpec.kinds");
        }
        return found;
    }

    @Override
    public Traffic traffic() {
        return live.stream().map(Communicator::traffic).reduce(Traffic.NONE, Traffic::plus);
    }

    @Override
    public void close() {
        for (int i = live.size() - 1; i >= 0; i--) {
            live.get(i).close();
        }
        end.run();
    }

    @Override
    public void abort(Throwable cause) {
        live.forEach(communicator -> communicator.abort(cause));
        end.run();
    }

    @Override
    public String toString() {
        return "rank " + rank + " in " + live.stream().map(Communicator::group).toList();
    }
}
