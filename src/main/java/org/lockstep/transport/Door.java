package org.lockstep.transport;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.time.Duration;
import java.util.ArrayList;
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
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ProcessGroup;

/**
 * One rank's door: it listens from before the meeting until all its peers are in, then is closed for good.
 *
 * <p>Confined to its rank's thread but for {@link #close}: from another thread it ends a {@link #connect} that is under
 * way, as ABORTED.
 */
public final class Door implements AutoCloseable {
    private static final int BACKLOG = 1024;
    private static final Duration PATIENCE = Duration.ZERO;

    private final Venue venue;
    private final WorldSpec spec;
    private final InetAddress address;
    private final ServerSocketChannel listener;
    private volatile @Nullable Connecting connecting;

    /** The rank that is inside {@link #connect}, for who closes the door under it. */
    private record Connecting(int rank, Fate fate) {
        void end() {
            fate.seal(new Verdict(ErrorCode.ABORTED, rank, 0, "its endpoint was closed while connecting", -1, null));
        }
    }

    private Door(Venue venue, WorldSpec spec, InetAddress address, ServerSocketChannel listener) {
        this.venue = venue;
        this.spec = spec;
        this.address = address;
        this.listener = listener;
    }

    /** Listens on {@code address}, one of this host's. */
    public static Door open(Venue venue, WorldSpec spec, InetAddress address) {
        ServerSocketChannel listener = null;
        try {
            listener = ServerSocketChannel.open();
            listener.configureBlocking(false);
            listener.bind(new InetSocketAddress(address, 0), BACKLOG);
            return new Door(venue, spec, address, listener);
        } catch (IOException failure) {
            Sockets.closeQuietly(listener);
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED,
                            "cannot listen on " + address.getHostAddress() + ": " + failure.getMessage())
                    .attempt("an address of this host that its peers can reach")
                    .cause(failure));
        }
    }

    /** Where peers come, as IP literals. */
    public List<String> addresses() {
        return List.of(address.getHostAddress());
    }

    public int port() {
        return listener.socket().getLocalPort();
    }

    /**
     * Meets the peers of these groups, each of more than one rank and with {@code rank} in it.
     *
     * @return by group: the mesh of this rank in it
     */
    public Connected connect(Roster roster, int rank, List<ProcessGroup> groups) {
        Deadline deadline = Deadline.in(spec.meetingTimeout());
        Fate fate = Fate.of(venue, spec.attempt(), roster.ranksInVenue(rank));
        Connected connected = new Connected(fate);
        Connecting now = new Connecting(rank, fate);
        connecting = now;
        if (!listener.isOpen()) {
            now.end(); // closed before it could be seen connecting
        }
        try {
            Set<Links.Id> wanted = connections(roster, rank, groups);
            if (!wanted.isEmpty()) {
                connected.links = new Handshakes(roster, rank, spec, listener, wanted, deadline).run();
            }
            for (ProcessGroup group : groups) {
                connected.meshes.put(group, mesh(group, group.rankInGroup(rank), roster, connected, deadline));
            }
            return connected;
        } catch (RuntimeException | Error failure) {
            // Also frees the groups made before the one that failed; the first cause stays.
            connected.abort(fate.seal(Verdict.aborted(rank, 0, failure)));
            throw failure;
        } finally {
            connecting = null;
            Sockets.closeQuietly(listener);
        }
    }

    /** The connections that this rank needs: one for each group and peer with whom it shares no memory. */
    private static Set<Links.Id> connections(Roster roster, int rank, List<ProcessGroup> groups) {
        Set<Links.Id> wanted = new LinkedHashSet<>();
        for (ProcessGroup group : groups) {
            int me = group.rankInGroup(rank);
            for (int peer = 0; peer < group.size(); peer++) {
                if (Pairs.isConnected(group.size(), me, peer)
                        && roster.transport(rank, group.rank(peer)) == TransportKind.TCP) {
                    wanted.add(new Links.Id(Verdict.groupId(group), group.rank(peer)));
                }
            }
        }
        return wanted;
    }

    /** The mesh of rank in group {@code me}: to each peer a link of the kind that fits the pair. */
    private Mesh mesh(ProcessGroup group, int me, Roster roster, Connected connected, Deadline deadline) {
        int rank = group.rank(me);
        Map<TransportKind, Long> kinds = group.stream()
                .filter(peer -> peer != rank)
                .boxed()
                .collect(Collectors.groupingBy(peer -> roster.transport(rank, peer), Collectors.counting()));
        Board board = null;
        if (kinds.containsKey(TransportKind.THREAD)) {
            board = Board.of(venue, spec.attempt(), group, Math.toIntExact(kinds.get(TransportKind.THREAD)) + 1);
            connected.ends.add(board::forget);
        }
        Segment segment = null;
        if (kinds.containsKey(TransportKind.SHARED)) {
            segment = Segment.of(roster, group, me, spec, connected.fate, deadline);
        }
        TcpLinks sockets = null;
        if (kinds.containsKey(TransportKind.TCP)) {
            sockets = new TcpLinks(group, me, connected.links, PATIENCE);
        }
        boolean crowded = roster.ranksOnHost(rank) > Runtime.getRuntime().availableProcessors();
        Pause pause = new Pause(
                me,
                crowded,
                board == null ? null : board.seats(),
                sockets == null ? null : sockets.selector(),
                kinds.keySet().equals(Set.of(TransportKind.TCP)),
                sockets == null ? () -> {} : sockets::awaitReadiness);
        Board threads = board;
        Segment processes = segment;
        TcpLinks hosts = sockets;
        return new Mesh(
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
                        if (orderly) {
                            processes.leave(me);
                        }
                        processes.close();
                    }
                });
    }

    /** What a rank holds after connecting. */
    public static final class Connected {
        private final Fate fate;
        private final Map<ProcessGroup, Mesh> meshes = new LinkedHashMap<>();
        private final List<Runnable> ends = new ArrayList<>();
        private final AtomicBoolean ended = new AtomicBoolean();
        private Links links = new Links();

        private Connected(Fate fate) {
            this.fate = fate;
        }

        public Fate fate() {
            return fate;
        }

        public Mesh mesh(ProcessGroup group) {
            Mesh mesh = meshes.get(group);
            if (mesh == null) {
                throw new IllegalArgumentException(group + " was not connected");
            }
            return mesh;
        }

        private void abort(Verdict verdict) {
            meshes.values().forEach(mesh -> mesh.abort(verdict));
            end();
        }

        /** All meshes were closed or aborted. Idempotent. */
        public void end() {
            if (ended.compareAndSet(false, true)) {
                ends.forEach(Runnable::run);
                links.close(fate.verdict());
                fate.leave();
            }
        }
    }

    @Override
    public void close() {
        Sockets.closeQuietly(listener);
        Connecting now = connecting;
        if (now != null) {
            now.end();
        }
    }
}
