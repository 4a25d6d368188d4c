package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.topology.ProcessGroup;

/** The links over sockets of one rank in one group, and the selector that all of them are watched by. */
final class TcpLinks {
    private static final String FIRST = "its first message";

    private final ProcessGroup group;
    private final int me;
    private final Links connections;
    private final Runnable hurry;
    private final Duration patience;
    private final Selector selector;
    private final List<TcpLink> links = new ArrayList<>();
    private final Map<Integer, Grace> unreachable = new HashMap<>(); // peers, since that is seen

    /**
     * Of connections that are taken as they are needed; for {@code patience} see {@link TcpLink}.
     *
     * @param hurry wakes who makes those that are not there
     */
    TcpLinks(ProcessGroup group, int me, Links connections, Runnable hurry, Duration patience) {
        this.group = group;
        this.me = me;
        this.connections = connections;
        this.hurry = hurry;
        this.patience = patience;
        try {
            this.selector = Selector.open();
        } catch (IOException failure) {
            throw failure(failure);
        }
    }

    private CommunicatorException failure(IOException cause) {
        return new CommunicatorException(LockstepException.report(
                        ErrorCode.RENDEZVOUS_FAILED, "cannot watch the connections of " + group + ": " + cause)
                .cause(cause));
    }

    Selector selector() {
        return selector;
    }

    /** Tells the selector what is waited for. */
    void awaitReadiness() {
        links.forEach(TcpLink::awaitReadiness);
    }

    /** The link to a rank in group; null while its connection is being made, until the selector is woken. */
    @Nullable
    Link link(int peer) {
        Links.Id id = new Links.Id(Verdict.groupId(group), group.rank(peer));
        Links.Proven taken = connections.take(id);
        if (taken == null) {
            await(id, peer);
            return null;
        }
        try {
            SelectionKey key = taken.channel().register(selector, 0);
            TcpLink link = new TcpLink(group, me, peer, taken.channel(), taken.seal(), key, patience);
            links.add(link);
            return link;
        } catch (IOException failure) {
            Sockets.closeQuietly(taken.channel());
            throw failure(failure);
        }
    }

    private void await(Links.Id id, int peer) {
        if (!connections.isOpen()) {
            throw new Failed(Verdict.lost(group, me, FIRST, peer, "has no connection any more", null));
        }
        CommunicatorException why = connections.failure(id);
        if (why == null) {
            if (connections.want(id, selector::wakeup)) {
                hurry.run();
            }
        } else if (unreachable.computeIfAbsent(peer, any -> new Grace(patience)).isOver()) {
            if (why.code() == ErrorCode.NOT_ENOUGH_DESCRIPTORS) { // which the peer has no part in
                throw new Failed(Verdict.found(group, me, why));
            }
            throw new Failed(Verdict.lost(group, me, FIRST, peer, "cannot be reached: " + why.summary(), why));
        }
    }
}
