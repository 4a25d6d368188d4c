package org.lockstep.cuda;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.FirstCause;
import org.lockstep.collective.Flight;
import org.lockstep.collective.Overdue;
import org.lockstep.collective.Traffic;
import org.lockstep.topology.GroupKind;

/** The groups of a rank whose buffers are on a device; kinds that share a communicator below share one here. */
final class StagedCommunicators implements Communicators {
    private final Communicators below;
    private final Map<Communicator, StagedCommunicator> staged = new ConcurrentHashMap<>();

    StagedCommunicators(Communicators below) {
        this.below = below;
    }

    @Override
    public Communicator of(GroupKind kind) {
        return staged.computeIfAbsent(below.of(kind), StagedCommunicator::new);
    }

    @Override
    public ControlPlane controlPlane() {
        return below.controlPlane();
    }

    @Override
    public Traffic traffic() {
        return below.traffic();
    }

    @Override
    public List<Flight> flights() {
        return below.flights();
    }

    @Override
    public Optional<Overdue> expire(Duration grace) {
        return below.expire(grace);
    }

    @Override
    public Optional<FirstCause> firstCause() {
        return below.firstCause();
    }

    @Override
    public void close() {
        below.close();
    }

    @Override
    public void abort(Throwable cause) {
        below.abort(cause);
    }

    @Override
    public String toString() {
        return below + ", staged through the host";
    }
}
