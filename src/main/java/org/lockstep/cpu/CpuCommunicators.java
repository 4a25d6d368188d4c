package org.lockstep.cpu;

import java.time.Duration;
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

    /** The communicators of {@code live}, in the order of making. */
    CpuCommunicators(int rank, Map<GroupKind, Communicator> byKind, List<Communicator> live) {
        this.rank = rank;
        this.byKind = Map.copyOf(byKind);
        this.live = List.copyOf(live);
    }

    /** Waits, group by group in the order that all ranks share, until every peer is connected too. */
    void connect(Deadline deadline) {
        for (Communicator communicator : live) {
            if (communicator instanceof CpuCommunicator group) {
                group.connect(Duration.ofNanos(Math.max(1, deadline.nanosLeft())));
            }
        }
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
    }

    @Override
    public void abort(Throwable cause) {
        live.forEach(communicator -> communicator.abort(cause));
    }

    @Override
    public String toString() {
        return "rank " + rank + " in " + live.stream().map(Communicator::group).toList();
    }
}
