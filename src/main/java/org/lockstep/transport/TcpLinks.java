package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.topology.ProcessGroup;

/** The links over sockets of one rank in one group, and the selector that all of them are watched by. */
final class TcpLinks {
    private final ProcessGroup group;
    private final int me;
    private final Links connections;
    private final Duration patience;
    private final Selector selector;
    private final List<TcpLink> links = new ArrayList<>();

    /** Of connections that are taken as they are needed; for {@code patience} see {@link TcpLink}. */
    TcpLinks(ProcessGroup group, int me, Links connections, Duration patience) {
        this.group = group;
        this.me = me;
        this.connections = connections;
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

    Link link(int peer) {
        if (!Pairs.isConnected(group.size(), me, peer)) {
            throw new IllegalStateException("ranks " + group.rank(me) + " and " + group.rank(peer) + " of " + group
                    + " have no connection: in groups of more than " + Pairs.ALL
                    + " ranks only those have one whose distance is a power of two");
        }
        Links.Proven taken = connections.take(new Links.Id(Verdict.groupId(group), group.rank(peer)));
        if (taken == null) {
            throw new Failed(Verdict.lost(group, me, "its first message", peer, "has no connection any more", null));
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
}
