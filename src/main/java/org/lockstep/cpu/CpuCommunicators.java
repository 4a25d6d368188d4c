package org.lockstep.cpu;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.Flight;
import org.lockstep.collective.GuardedCommunicator;
import org.lockstep.collective.Overdue;
import org.lockstep.collective.Traffic;
import org.lockstep.topology.GroupKind;
import org.lockstep.transport.Door;
import org.lockstep.transport.Verdict;

/** The live groups of one rank: kinds with the same ranks share one communicator. Threads: as the interface says. */
final class CpuCommunicators implements Communicators {
    private final int rank;
    private final Map<GroupKind, Communicator> byKind;
    private final List<GuardedCommunicator> live;
    private final Door.Connected connected;

    /** The communicators of {@code live}, in the order of making, and what they have in common. */
    CpuCommunicators(
            int rank, Map<GroupKind, Communicator> byKind, List<GuardedCommunicator> live, Door.Connected connected) {
        this.rank = rank;
        this.byKind = Map.copyOf(byKind);
        this.live = List.copyOf(live);
        this.connected = connected;
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
    public ControlPlane controlPlane() {
        return connected.controlPlane();
    }

    @Override
    public Traffic traffic() {
        return live.stream().map(Communicator::traffic).reduce(Traffic.NONE, Traffic::plus);
    }

    @Override
    public List<Flight> flights() {
        return live.stream().map(Communicator::flight).toList();
    }

    @Override
    public Optional<Overdue> expire(Duration grace) {
        Optional<Overdue> overdue = live.stream()
                .flatMap(communicator -> communicator.expire(grace).stream())
                .findFirst();
        overdue.ifPresent(found -> abort(found.failure()));
        return overdue;
    }

    @Override
    public Optional<FirstCause> firstCause() {
        return Optional.ofNullable(connected.fate().verdict()).map(Verdict::firstCause);
    }

    @Override
    public void close() {
        close(live.size());
    }

    /** Closes the first {@code count}, in reverse order, and what they have in common; what fails is thrown when all is freed. */
    @SuppressWarnings("try") // it is there to be closed
    private void close(int count) {
        if (count == 0) {
            connected.end();
            return;
        }
        try (Rest before = () -> close(count - 1)) {
            live.get(count - 1).close();
        }
    }

    private interface Rest extends AutoCloseable {
        @Override
        void close();
    }

    @Override
    public void abort(Throwable cause) {
        live.forEach(communicator -> communicator.abort(cause));
        connected.fate().seal(Verdict.aborted(rank, 0, cause)); // also where every group is of one rank
        connected.end();
    }

    @Override
    public String toString() {
        return "rank " + rank + " in " + live.stream().map(Communicator::group).toList();
    }
}
