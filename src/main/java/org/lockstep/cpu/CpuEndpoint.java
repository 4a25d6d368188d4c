package org.lockstep.cpu;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Communicator;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.ObjectCodec;
import org.lockstep.collective.Roster;
import org.lockstep.collective.SoloCommunicator;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.GroupKind;
import org.lockstep.topology.ParallelState;
import org.lockstep.topology.ProcessGroup;

/**
 * One rank's door: a listening socket from before the meeting until all its peers are in, then closed for good.
 *
 * <p>Confined to its rank's thread but for {@link #close} and {@link #closeAll}: from another thread they end a
 * {@link #connect} that is under way, as ABORTED.
 */
final class CpuEndpoint implements Backend.Endpoint {
    private static final int BACKLOG = 1024;

    private final Venue venue;
    private final WorldSpec spec;
    private final InetAddress address;
    private final ServerSocketChannel listener;
    private volatile @Nullable CpuCommunicators communicators;
    private volatile @Nullable Connecting connecting;

    /** The rank that is inside {@link #connect}, for who closes the endpoint under it. */
    private record Connecting(int rank, Fate fate) {
        void end() {
            fate.seal(new Verdict(ErrorCode.ABORTED, rank, 0, "its endpoint was closed while connecting", -1, null));
        }
    }

    private CpuEndpoint(Venue venue, WorldSpec spec, InetAddress address, ServerSocketChannel listener) {
        this.venue = venue;
        this.spec = spec;
        this.address = address;
        this.listener = listener;
    }

    static CpuEndpoint open(Venue venue, WorldSpec spec, InetAddress address) {
        ServerSocketChannel listener = null;
        try {
            listener = ServerSocketChannel.open();
            listener.configureBlocking(false);
            listener.bind(new InetSocketAddress(address, 0), BACKLOG);
            return new CpuEndpoint(venue, spec, address, listener);
        } catch (IOException failure) {
            Sockets.closeQuietly(listener);
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED,
                            "cannot listen on " + address.getHostAddress() + ": " + failure.getMessage())
                    .attempt("an address of this host that its peers can reach")
                    .cause(failure));
        }
    }

    @Override
    public List<String> addresses() {
        return List.of(address.getHostAddress());
    }

    @Override
    public int port() {
        return listener.socket().getLocalPort();
    }

    @Override
    public Communicators connect(Roster roster, ParallelState state) {
        Deadline deadline = Deadline.in(spec.meetingTimeout());
        Fate fate = new Fate();
        ObjectCodec codec = new ObjectCodec(spec.objects());
        int rank = state.rank();
        Map<List<Integer>, ProcessGroup> groups = new LinkedHashMap<>();
        Map<GroupKind, ProcessGroup> byKind = new EnumMap<>(GroupKind.class);
        for (GroupKind kind : inOrderOfConnecting()) {
            Optional<ProcessGroup> found = roster.grid().group(kind, rank);
            found.ifPresent(group -> {
                groups.putIfAbsent(List.copyOf(group.ranks()), group);
                byKind.put(kind, group);
            });
        }
        List<ProcessGroup> remote = groups.values().stream()
                .filter(group -> group.size() > 1 && !roster.shareVenue(group))
                .toList();
        Map<List<Integer>, Communicator> live = new LinkedHashMap<>();
        Links links = new Links();
        Connecting now = new Connecting(rank, fate);
        connecting = now;
        if (!listener.isOpen()) {
            now.end(); // closed before it could be seen connecting
        }
        try {
            if (!remote.isEmpty()) {
                links = new Handshakes(roster, rank, spec, listener, remote, deadline).run();
            }
            Sockets.closeQuietly(listener);
            for (Map.Entry<List<Integer>, ProcessGroup> entry : groups.entrySet()) {
                live.put(entry.getKey(), communicator(entry.getValue(), roster, rank, fate, codec, links));
            }
            Map<GroupKind, Communicator> kinds = new EnumMap<>(GroupKind.class);
            byKind.forEach((kind, group) -> kinds.put(kind, live.get(List.copyOf(group.ranks()))));
            CpuCommunicators made = new CpuCommunicators(rank, kinds, List.copyOf(live.values()));
            communicators = made;
            made.connect(deadline);
            return made;
        } catch (RuntimeException | Error failure) {
            links.close();
            // Also frees the transports of the groups made before the one that failed; the first cause stays.
            fate.seal(Verdict.aborted(rank, 0, failure));
            throw failure;
        } finally {
            connecting = null;
            Sockets.closeQuietly(listener);
        }
    }

    /** The narrow kinds first: where several have the same ranks, the one live group bears the most telling name. */
    private List<GroupKind> inOrderOfConnecting() {
        List<GroupKind> order = new ArrayList<>(List.of(GroupKind.TENSOR, GroupKind.PIPELINE, GroupKind.DATA));
        for (GroupKind kind : GroupKind.values()) {
            if (!order.contains(kind) && kind != GroupKind.WORLD) {
                order.add(kind);
            }
        }
        order.add(GroupKind.WORLD);
        order.retainAll(spec.kinds());
        return order;
    }

    private Communicator communicator(
            ProcessGroup group, Roster roster, int rank, Fate fate, ObjectCodec codec, Links links) {
        if (group.size() == 1) {
            return new SoloCommunicator(group, codec);
        }
        int me = group.rankInGroup(rank);
        Transport transport = roster.shareVenue(group)
                ? new ThreadTransport(group, me, Board.of(venue, spec.attempt(), group.ranks()), fate)
                : TcpTransport.over(group, me, links, fate);
        CpuCommunicator communicator =
                new CpuCommunicator(group, me, transport, fate, codec, roster::describe, spec.operationTimeout());
        fate.add(communicator);
        return communicator;
    }

    @Override
    public void close() {
        Sockets.closeQuietly(listener);
        Connecting now = connecting;
        if (now != null) {
            now.end();
        }
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
