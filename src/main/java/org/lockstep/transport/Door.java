package org.lockstep.transport;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.collective.ControlPlane;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ProcessGroup;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One rank's door: it listens from before the meeting until all its peers are in; then it is closed for good, or kept by a
 * {@link Doorkeeper} where the rank may need a peer later that it has no connection to yet.
 *
 * <p>Confined to its rank's thread but for {@link #close}: from another thread it ends a {@link #connect} that is under
 * way, as ABORTED.
 */
public final class Door implements AutoCloseable {
    /** A peer that is gone is told as such only if nobody tells why so soon. */
    static final Duration GRACE = Duration.ofMillis(200);

    private static final Logger LOG = LoggerFactory.getLogger(Door.class);

    private final Venue venue;
    private final WorldSpec spec;
    private final Listen where;
    private final Rhythm rhythm;
    private final Listeners listeners;
    private volatile @Nullable Connecting connecting;

    /** The rank that is inside {@link #connect}, for who closes the door under it. */
    private record Connecting(int rank, Fate fate) {
        void end() {
            fate.seal(new Verdict(ErrorCode.ABORTED, rank, 0, "its endpoint was closed while connecting", -1, null));
        }
    }

    private Door(Venue venue, WorldSpec spec, Listen where, Rhythm rhythm, Listeners listeners) {
        this.venue = venue;
        this.spec = spec;
        this.where = where;
        this.rhythm = rhythm;
        this.listeners = listeners;
    }

    /**
     * Listens.
     *
     * @throws org.lockstep.collective.CommunicatorException RENDEZVOUS_FAILED if there is no free port, naming
     *     addresses and ports
     */
    public static Door open(Venue venue, WorldSpec spec, Listen where, Rhythm rhythm) {
        return new Door(venue, spec, where, rhythm, Listeners.bind(where));
    }

    /** Where peers come, as IP literals, best first. */
    public List<String> addresses() {
        return where.literals();
    }

    /** Behind all of them. */
    public int port() {
        return listeners.port();
    }

    /**
     * Meets the peers of these groups, each of more than one rank and with {@code rank} in it.
     *
     * @return by group: the mesh of this rank in it
     */
    public Connected connect(Roster roster, int rank, List<ProcessGroup> groups) {
        Deadline deadline = Deadline.in(spec.meetingTimeout());
        Fate fate = Fate.of(venue, spec.attempt(), roster.ranksInVenue(rank));
        Connected connected = new Connected(fate, new Extension(fate.switchboard(), roster, rank));
        Connecting now = new Connecting(rank, fate);
        connecting = now;
        if (!listeners.isOpen()) {
            now.end(); // closed before it could be seen connecting
        }
        tellUnpublished(roster, rank);
        boolean kept = false;
        try {
            Set<Links.Id> later = connections(roster, rank, groups, false);
            Doorkeeper keeper = new Doorkeeper(roster, rank, spec, listeners, later, connected.links);
            connect(roster, rank, groups, connected, keeper, !later.isEmpty(), deadline);
            for (ProcessGroup group : groups) {
                connected.meshes.put(group, mesh(group, group.rankInGroup(rank), roster, connected, deadline));
            }
            if (!later.isEmpty()) {
                kept = true;
                connected.fate.keep(keeper);
            }
            return connected;
        } catch (RuntimeException | Error failure) {
            // Also frees the groups made before the one that failed; the first cause stays.
            connected.abort(rank, failure);
            if (failure instanceof Failed failed) {
                ProcessGroup here = groups.isEmpty()
                        ? roster.grid().group(GroupKind.WORLD, rank).orElseThrow()
                        : groups.get(0);
                throw failed.verdict().exception("connect", here, roster::describe);
            }
            throw failure;
        } finally {
            connecting = null;
            if (!kept) {
                listeners.close();
            }
        }
    }

    /** Says which of its addresses no peer will try: the record had no room for them. */
    private void tellUnpublished(Roster roster, int rank) {
        List<String> published = roster.hello(rank).addresses();
        List<String> others = addresses().stream()
                .filter(address -> !published.contains(address))
                .toList();
        if (!others.isEmpty()) {
            LOG.info(
                    "rank {} listens at {} too, which its record had no room for: peers try {} only",
                    rank,
                    others,
                    published);
        }
    }

    private void connect(
            Roster roster,
            int rank,
            List<ProcessGroup> groups,
            Connected connected,
            Doorkeeper keeper,
            boolean kept,
            Deadline deadline) {
        Set<Links.Id> wanted = connections(roster, rank, groups, true);
        Map<Integer, List<Integer>> stations = Control.stations(roster, rank);
        stations.keySet().forEach(peer -> wanted.add(new Links.Id(Control.GROUP, peer)));
        boolean watches = !stations.isEmpty() || (kept && Control.leads(roster, rank));
        Control control = watches ? Control.start(connected.fate, roster, rank, rhythm) : null;
        if (wanted.isEmpty()) {
            return;
        }
        Taker taker = new Taker() {
            @Override
            public void take(Links.Id id, Links.Proven connection) {
                List<Integer> there = stations.get(id.peer());
                if (id.group() == Control.GROUP && control != null && there != null) {
                    control.add(there, connection);
                } else {
                    keeper.take(id, connection);
                }
            }

            @Override
            public boolean expects(Links.Id id) {
                return keeper.expects(id);
            }
        };
        new Handshakes(roster, rank, spec, listeners, wanted, connected.fate, taker, deadline, Handshakes.PATIENCE)
                .run();
    }

    /**
     * The connections that this rank has: one for each group and peer with whom it shares no memory.
     *
     * @param atOnce those of the meeting, or those that are made when they are first used
     */
    private static Set<Links.Id> connections(Roster roster, int rank, List<ProcessGroup> groups, boolean atOnce) {
        Set<Links.Id> found = new LinkedHashSet<>();
        for (ProcessGroup group : groups) {
            int me = group.rankInGroup(rank);
            for (int peer = 0; peer < group.size(); peer++) {
                if (peer != me
                        && Pairs.isConnected(group.size(), me, peer) == atOnce
                        && roster.transport(rank, group.rank(peer)) == TransportKind.TCP) {
                    found.add(new Links.Id(Verdict.groupId(group), group.rank(peer)));
                }
            }
        }
        return found;
    }

    /** The mesh of rank in group {@code me}: to each peer a link of the kind that fits the pair. */
    private Mesh mesh(ProcessGroup group, int me, Roster roster, Connected connected, Deadline deadline) {
        int rank = group.rank(me);
        Set<TransportKind> kinds = group.stream()
                .filter(peer -> peer != rank)
                .mapToObj(peer -> roster.transport(rank, peer))
                .collect(Collectors.toSet());
        Board board = kinds.contains(TransportKind.THREAD) ? connected.fate.board(group) : null;
        TcpLinks sockets = kinds.contains(TransportKind.TCP)
                ? new TcpLinks(group, me, connected.links, connected.fate::hurry, GRACE)
                : null;
        Segment segment = null;
        try {
            segment = kinds.contains(TransportKind.SHARED)
                    ? Segment.of(roster, group, me, spec, connected.fate, deadline)
                    : null;
            return mesh(group, me, roster, connected, board, segment, sockets);
        } catch (RuntimeException | Error failure) {
            // What a mesh would free is nobody's yet.
            if (segment != null) {
                segment.close();
            }
            if (sockets != null) {
                Sockets.closeQuietly(sockets.selector());
            }
            throw failure;
        }
    }

    private static Mesh mesh(
            ProcessGroup group,
            int me,
            Roster roster,
            Connected connected,
            @Nullable Board threads,
            @Nullable Segment processes,
            @Nullable TcpLinks hosts) {
        int rank = group.rank(me);
        boolean crowded = roster.ranksOnHost(rank) > Runtime.getRuntime().availableProcessors();
        Pause pause = new Pause(
                me,
                crowded,
                threads == null ? null : threads.seats(),
                hosts == null ? null : hosts.selector(),
                threads == null && processes == null,
                hosts == null ? () -> {} : hosts::awaitReadiness);
        LinkSet links = new LinkSet(
                group,
                me,
                peer -> switch (roster.transport(rank, group.rank(peer))) {
                    case THREAD -> Objects.requireNonNull(threads).link(group, me, peer);
                    case SHARED -> Objects.requireNonNull(processes).link(me, peer);
                    case TCP -> Objects.requireNonNull(hosts).link(peer);
                },
                connected.fate,
                pause,
                orderly -> {
                    if (threads != null && orderly) {
                        threads.leave(me);
                    }
                    if (processes != null) {
                        processes.leave(me, orderly);
                        processes.close();
                    }
                });
        return new Mesh(
                me,
                group.size(),
                some -> roster.hasThreads(some.stream().map(group::rank).toList()),
                links);
    }

    /** What a rank holds after connecting. */
    public static final class Connected {
        private final Fate fate;
        private final Map<ProcessGroup, Mesh> meshes = new LinkedHashMap<>();
        private final AtomicBoolean ended = new AtomicBoolean();
        private final Links links = new Links();
        private final Extension extension;

        private Connected(Fate fate, Extension extension) {
            this.fate = fate;
            this.extension = extension;
        }

        public Fate fate() {
            return fate;
        }

        /** Until the {@link #end}. */
        public ControlPlane controlPlane() {
            return extension;
        }

        public Mesh mesh(ProcessGroup group) {
            Mesh mesh = meshes.get(group);
            if (mesh == null) {
                throw new IllegalArgumentException(group + " was not connected");
            }
            return mesh;
        }

        /** Gives up what no communicator has yet, and tells the peers why. */
        public void abort(int rank, Throwable cause) {
            abort(fate.seal(Verdict.aborted(rank, 0, cause)));
        }

        private void abort(Verdict verdict) {
            meshes.values().forEach(mesh -> mesh.abort(verdict));
            end();
        }

        /** All meshes were closed or aborted. Idempotent. */
        public void end() {
            if (ended.compareAndSet(false, true)) {
                links.close(fate.verdict());
                fate.hurry(); // the door is closed too
                extension.close();
                fate.leave();
            }
        }
    }

    @Override
    public void close() {
        listeners.close();
        Connecting now = connecting;
        if (now != null) {
            now.end();
        }
    }
}
