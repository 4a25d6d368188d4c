package org.lockstep.cuda;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Carrier;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.GroupPlan;
import org.lockstep.collective.Roster;
import org.lockstep.collective.UniqueId;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGrid;
import org.lockstep.topology.ProcessGroup;

/**
 * A rank's side of the meeting: the host's, and with it NCCL's unique ids where there is an NCCL. A group's buffers of the device
 * travel by NCCL where there is one, else by what the ranks read of each other's memory where they can, else through the host; where
 * devices of a host reach each other, small all-reduces that NCCL or, between JVMs, the host would carry go by kernels.
 */
final class CudaEndpoint implements Backend.Endpoint {
    private final Backend.Endpoint host;
    private final Venue venue;
    private final WorldSpec spec;
    private final CudaBackend backend;

    CudaEndpoint(Backend.Endpoint host, Venue venue, WorldSpec spec, CudaBackend backend) {
        this.host = host;
        this.venue = venue;
        this.spec = spec;
        this.backend = backend;
    }

    @Override
    public List<String> addresses() {
        return host.addresses();
    }

    @Override
    public int port() {
        return host.port();
    }

    @Override
    public List<UniqueId> uniqueIds(int party, int parties) {
        if (backend.nccl().isEmpty()) {
            return List.of();
        }
        NcclLibrary library = backend.nccl().get();
        int share;
        try {
            share = GroupPlan.of(ProcessGrid.of(parties, spec.sizes(), spec.order()), spec.kinds())
                    .share(party, parties);
        } catch (IllegalArgumentException equation) {
            return List.of(); // which the meeting will tell, to all parties
        }
        return Stream.generate(library::newId).limit(share).toList();
    }

    @Override
    public Communicators connect(Roster roster, ParallelState state) {
        Carriers several = backend.nccl().isEmpty() ? peersOrHost(roster) : byNccl(roster);
        return host.connect(
                roster,
                state,
                (group, me, carrier, life, tag) ->
                        group.size() == 1 ? new SoloDevice() : several.connect(group, me, carrier, life, tag));
    }

    private Carriers byNccl(Roster roster) {
        NcclGroups nccl = backend.groups(ids(roster), spec);
        Carriers joined = (group, me, carrier, life, tag) -> {
            backend.requireJoined(group, roster);
            return nccl.connect(group, me, carrier, life, tag);
        };
        if (backend.peer().use() == Use.OFF) {
            return joined;
        }
        ExchangeGroups exchanges = backend.exchanges(venue, roster, spec);
        return (group, me, carrier, life, tag) -> {
            Carrier other = joined.connect(group, me, carrier, life, tag);
            return exchanges
                    .connect(group, me, carrier, life, tag, other, why -> decline(group, me, why))
                    .orElse(other);
        };
    }

    private Carriers peersOrHost(Roster roster) {
        if (backend.peer().use() == Use.OFF) {
            return (group, me, carrier, life, tag) -> new StagedCarrier(carrier, me);
        }
        PeerGroups peers = backend.peers(venue, spec);
        ExchangeGroups exchanges = backend.exchanges(venue, roster, spec);
        return (group, me, carrier, life, tag) -> {
            Carrier staged = new StagedCarrier(carrier, me);
            Consumer<String> declined = why -> decline(group, me, why);
            Optional<Carrier> found = roster.shareVenue(group)
                    ? peers.connect(group, me, carrier, life, tag, declined)
                    : exchanges.connect(group, me, carrier, life, tag, staged, declined);
            return found.orElse(staged);
        };
    }

    /** A group does without what it cannot have, unless that was asked for: one line of its first rank's. */
    private void decline(ProcessGroup group, int me, String why) {
        backend.peer().requireOptional(group, why);
        if (me == 0) {
            backend.tell(group + " does not use what its devices reach of each other's memory: " + why);
        }
    }

    private Function<ProcessGroup, Optional<UniqueId>> ids(Roster roster) {
        GroupPlan plan = GroupPlan.of(roster.grid(), spec.kinds());
        return group -> {
            OptionalInt number = plan.number(group);
            return number.isEmpty() ? Optional.empty() : roster.id(number.getAsInt());
        };
    }

    @Override
    public void close() {
        host.close();
    }
}
