package org.lockstep.cpu;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.GroupPlan;
import org.lockstep.collective.GuardedCommunicator;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.Roster;
import org.lockstep.collective.SoloCommunicator;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGroup;
import org.lockstep.transport.Door;
import org.lockstep.transport.Listen;
import org.lockstep.transport.Rhythm;

/**
 * One rank's side of the meeting: its door, then its communicators.
 *
 * <p>Confined to its rank's thread but for {@link #close} and {@link #closeAll}: from another thread they end a
 * {@link #connect} that is under way, as ABORTED.
 */
final class CpuEndpoint implements Backend.Endpoint {
    private final WorldSpec spec;
    private final Door door;
    private final IntConsumer ranksOfThisJvm;
    private volatile @Nullable CpuCommunicators communicators;

    private CpuEndpoint(WorldSpec spec, Door door, IntConsumer ranksOfThisJvm) {
        this.spec = spec;
        this.door = door;
        this.ranksOfThisJvm = ranksOfThisJvm;
    }

    /** @param ranksOfThisJvm told their number as soon as the meeting has shown it */
    static CpuEndpoint open(Venue venue, WorldSpec spec, Listen where, Rhythm rhythm, IntConsumer ranksOfThisJvm) {
        return new CpuEndpoint(spec, Door.open(venue, spec, where, rhythm), ranksOfThisJvm);
    }

    @Override
    public List<String> addresses() {
        return door.addresses();
    }

    @Override
    public int port() {
        return door.port();
    }

    @Override
    public Communicators connect(Roster roster, ParallelState state) {
        return connect(roster, state, Optional.empty());
    }

    @Override
    public Communicators connect(Roster roster, ParallelState state, Carriers devices) {
        return connect(roster, state, Optional.of(devices));
    }

    private Communicators connect(Roster roster, ParallelState state, Optional<Carriers> devices) {
        int rank = state.rank();
        ranksOfThisJvm.accept(roster.ranksInVenue(rank));
        ObjectCodec codec = new ObjectCodec(spec.objects());
        GroupPlan plan = GroupPlan.of(roster.grid(), spec.kinds());
        List<ProcessGroup> groups = plan.inOrder(rank);
        Door.Connected connected = door.connect(
                roster, rank, groups.stream().filter(group -> group.size() > 1).toList());
        Map<ProcessGroup, GuardedCommunicator> live = new LinkedHashMap<>();
        List<CpuCommunicator> several = new ArrayList<>();
        try {
            for (ProcessGroup group : groups) {
                if (group.size() == 1) {
                    live.put(group, new SoloCommunicator(group, codec, spec.operations(), devices));
                } else {
                    CpuCommunicator made = new CpuCommunicator(
                            group,
                            group.rankInGroup(rank),
                            connected.mesh(group),
                            Hosts.byRank(group, roster),
                            connected.fate(),
                            codec,
                            roster::describe,
                            spec.operations());
                    live.put(group, made);
                    several.add(made);
                }
            }
        } catch (RuntimeException | Error failure) {
            connected.abort(rank, failure);
            throw failure;
        }
        Map<GroupKind, Communicator> kinds = new EnumMap<>(GroupKind.class);
        plan.ofRank(rank)
                .forEach((kind, group) ->
                        kinds.put(kind, Objects.requireNonNull(live.get(group)).as(kind)));
        CpuCommunicators made = new CpuCommunicators(rank, kinds, List.copyOf(live.values()), connected);
        communicators = made;
        devices.ifPresent(carriers -> attach(carriers, several, made));
        return made;
    }

    private void attach(Carriers devices, List<CpuCommunicator> groups, CpuCommunicators all) {
        try {
            groups.forEach(group -> group.attach(devices, spec.meetingTimeout()));
        } catch (RuntimeException | Error failure) {
            all.abort(failure);
            throw failure;
        }
    }

    @Override
    public void close() {
        door.close();
    }

    /** Also what was connected. */
    void closeAll() {
        close();
        CpuCommunicators made = communicators;
        if (made != null) {
            made.close();
        }
    }
}
