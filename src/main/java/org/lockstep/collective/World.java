package org.lockstep.collective;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGrid;

/**
 * One rank's membership of a world: what it knows ({@link #state}) and whom it can talk to ({@link #communicators}).
 *
 * <p>{@link #close()} when all went well, {@link #abort} when anything failed. Confined to its rank's thread, except
 * {@code abort}.
 */
public final class World implements AutoCloseable {
    private final ProcessGrid grid;
    private final Roster roster;
    private final ParallelState state;
    private final Communicators communicators;
    private final Duration meeting;
    private final Duration connecting;

    private World(
            ProcessGrid grid,
            Roster roster,
            ParallelState state,
            Communicators communicators,
            Duration meeting,
            Duration connecting) {
        this.grid = grid;
        this.roster = roster;
        this.state = state;
        this.communicators = communicators;
        this.meeting = meeting;
        this.connecting = connecting;
    }

    /** Joins as a party of no cluster: in a local world. */
    public static World join(Rendezvous rendezvous, Backend backend, WorldSpec spec) {
        return join(rendezvous, backend, spec, Identity.local());
    }

    /**
     * Meets the others, exactly once, agrees with them, and connects this rank's groups.
     *
     * @throws RendezvousException if the meeting failed or the parties do not agree, the same on all of them
     * @throws CommunicatorException if a peer could not be reached in time
     */
    public static World join(Rendezvous rendezvous, Backend backend, WorldSpec spec, Identity identity) {
        Backend.Endpoint endpoint = backend.open(rendezvous.venue(), spec);
        boolean connected = false;
        try {
            Hello hello = new Hello(
                    spec.attempt(),
                    libraryVersion(),
                    identity,
                    rendezvous.index(),
                    venueNumber(rendezvous.venue()),
                    backend.name(),
                    endpoint.addresses(),
                    endpoint.port(),
                    spec.sizes(),
                    spec.order(),
                    spec.settingsDigest(),
                    endpoint.uniqueIds());
            long start = System.nanoTime();
            Met met = meet(rendezvous, spec, hello);
            Roster roster = met.roster();
            ParallelState state = roster.grid().state(roster.rank(rendezvous.index()));
            Communicators communicators = endpoint.connect(roster, state);
            connected = true;
            long end = System.nanoTime();
            return new World(
                    roster.grid(),
                    roster,
                    state,
                    communicators,
                    Duration.ofNanos(met.at() - start),
                    Duration.ofNanos(end - met.at()));
        } finally {
            if (!connected) {
                endpoint.close();
            }
        }
    }

    private record Met(Roster roster, long at) {}

    private static Met meet(Rendezvous rendezvous, WorldSpec spec, Hello hello) {
        try (SharedRoster shared = SharedRoster.enter(rendezvous.venue(), spec)) {
            List<String> records = rendezvous.allGather(hello.encode(spec.key()));
            long at = System.nanoTime();
            return new Met(shared.of(records), at);
        }
    }

    private static long venueNumber(Venue venue) {
        byte[] id = ByteBuffer.allocate(16)
                .putLong(venue.id().getMostSignificantBits())
                .putLong(venue.id().getLeastSignificantBits())
                .array();
        return ByteBuffer.wrap(WorldSpec.sha256(id)).getLong();
    }

    /** The version in the jar's manifest; {@code dev} when running from classes. */
    private static String libraryVersion() {
        return Optional.ofNullable(World.class.getPackage().getImplementationVersion())
                .orElse("dev");
    }

    public ParallelState state() {
        return state;
    }

    public ProcessGrid grid() {
        return grid;
    }

    public Roster roster() {
        return roster;
    }

    public Communicators communicators() {
        return communicators;
    }

    /** Time spent in the meeting's all-gather, waiting for the slowest party included. */
    public Duration meetingTime() {
        return meeting;
    }

    /** Time from the end of the meeting to live communicators. */
    public Duration connectTime() {
        return connecting;
    }

    /** Orderly end. Idempotent. */
    @Override
    public void close() {
        communicators.close();
    }

    /** Ends now, from any thread; the first cause stays. Idempotent. */
    public void abort(Throwable cause) {
        communicators.abort(cause);
    }

    @Override
    public String toString() {
        return "rank " + state.rank() + " of " + roster.size() + " (" + grid.sizes() + ")";
    }
}
