package org.lockstep.collective;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGrid;

/**
 * One rank's membership of a world: what it knows ({@link #state}) and whom it can talk to ({@link #communicators}).
 *
 * <p>{@link #close()} when all went well, {@link #abort} when anything failed. Confined to its rank's thread, except
 * {@code abort} and {@code isAlive}. A world may outlive the scheduler's task that joined it: another thread that takes it
 * over, with a happens-before edge between the two, is its rank's thread from then on, and brings it to the next meeting.
 */
public final class World implements AutoCloseable {
    private final UUID attempt;
    private final ProcessGrid grid;
    private final Roster roster;
    private final ParallelState state;
    private final Communicators communicators;
    private final Duration meeting;
    private final Optional<Duration> connecting; // empty where an earlier meeting did

    private World(
            UUID attempt,
            ProcessGrid grid,
            Roster roster,
            ParallelState state,
            Communicators communicators,
            Duration meeting,
            Optional<Duration> connecting) {
        this.attempt = attempt;
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
        return join(rendezvous, backend, spec, identity, null);
    }

    /**
     * As above, by a party that may bring its rank of a world that stayed. Where the parties bring all the ranks of one such
     * world, it goes on: each party is the rank that it brought, {@link #isResumed}, and nothing is connected. Else what was
     * brought is aborted, on all parties, and a new world is connected from the same meeting.
     *
     * <p>What all parties must agree on is checked in either case. If this throws, what was brought is the caller's to end.
     *
     * @param brought of the same grid as the spec's, or null
     */
    public static World join(
            Rendezvous rendezvous, Backend backend, WorldSpec spec, Identity identity, @Nullable World brought) {
        Backend.Endpoint endpoint = backend.open(rendezvous.venue(), spec);
        boolean connected = false;
        try {
            Hello hello = new Hello(
                    spec.attempt(),
                    libraryVersion(),
                    backend.gpu().map(identity::withGpu).orElse(identity),
                    rendezvous.index(),
                    venueNumber(rendezvous.venue()),
                    backend.name(),
                    endpoint.addresses(),
                    endpoint.port(),
                    spec.sizes(),
                    spec.order(),
                    spec.settingsDigest(),
                    brought == null ? null : brought.tenure(),
                    brought == null ? endpoint.uniqueIds(rendezvous.index(), rendezvous.size()) : List.of());
            long start = System.nanoTime();
            Met met = meet(rendezvous, spec, hello);
            Roster roster = met.roster();
            Duration meeting = Duration.ofNanos(met.at() - start);
            if (brought != null && roster.resumes()) {
                return brought.resumed(meeting);
            }
            if (brought != null) {
                brought.abort(new IllegalStateException("not all ranks of " + brought + " came to the next meeting"));
            }
            ParallelState state = roster.grid().state(roster.rank(rendezvous.index()));
            Communicators communicators = endpoint.connect(roster, state);
            connected = true;
            return new World(
                    spec.attempt(),
                    roster.grid(),
                    roster,
                    state,
                    communicators,
                    meeting,
                    Optional.of(Duration.ofNanos(System.nanoTime() - met.at())));
        } finally {
            if (!connected) {
                endpoint.close();
            }
        }
    }

    private Hello.Tenure tenure() {
        return new Hello.Tenure(state.rank(), attempt.hashCode());
    }

    private World resumed(Duration nextMeeting) {
        return new World(attempt, grid, roster, state, communicators, nextMeeting, Optional.empty());
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

    /** Time from the end of the meeting to live communicators; zero where they were live before it. */
    public Duration connectTime() {
        return connecting.orElse(Duration.ZERO);
    }

    /** Whether this world was connected by an earlier meeting, and stayed. Its roster is that meeting's. */
    public boolean isResumed() {
        return connecting.isEmpty();
    }

    /** Whether no rank is known to have failed. From any thread. */
    public boolean isAlive() {
        return communicators.isAlive();
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
