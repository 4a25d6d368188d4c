package org.lockstep.cpu;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.OperationTag;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.topology.ProcessGroup;

/**
 * Ranks in several JVMs: a connection for each pair, frames that carry their tag, everything in the rank's own thread.
 *
 * <p>All links make progress together, so that no order of sending and receiving can block; a link that this rank does not
 * need now is watched for its next header only, which is how an abort is heard in the middle of another transfer.
 */
final class TcpTransport implements Transport {
    private static final int SHARED_BYTES = 128 * 1024;
    private static final int YIELDS = 50;

    private final ProcessGroup group;
    private final int me;
    private final Fate fate;
    private final Selector selector;
    private final @Nullable Link[] links;
    private final ByteBuffer out = Link.buffer(SHARED_BYTES);
    private final ByteBuffer in = Link.buffer(SHARED_BYTES);
    private boolean ended;

    private TcpTransport(ProcessGroup group, int me, Fate fate, Selector selector) {
        this.group = group;
        this.me = me;
        this.fate = fate;
        this.selector = selector;
        this.links = new @Nullable Link[group.size()];
    }

    /** Takes the group's connections. */
    static TcpTransport over(ProcessGroup group, int rankInGroup, Links connections, Fate fate) {
        Selector selector = null;
        List<SocketChannel> taken = new ArrayList<>();
        try {
            selector = Selector.open();
            TcpTransport transport = new TcpTransport(group, rankInGroup, fate, selector);
            for (int peer = 0; peer < group.size(); peer++) {
                if (peer != rankInGroup) {
                    SocketChannel channel = connections.take(new Links.Id(Verdict.groupId(group), group.rank(peer)));
                    taken.add(channel);
                    transport.links[peer] = new Link(peer, channel, channel.register(selector, 0));
                }
            }
            return transport;
        } catch (IOException failure) {
            taken.forEach(Sockets::closeQuietly); // no longer the connections' to close, and of no transport yet
            Sockets.closeQuietly(selector);
            throw new CommunicatorException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED, "cannot watch the connections of " + group + ": " + failure)
                    .cause(failure));
        }
    }

    @Override
    public @Nullable HostBuffer[] swap(
            OperationTag tag,
            @Nullable HostBuffer[] offers,
            IntFunction<@Nullable HostBuffer> targets,
            Deadline deadline) {
        @Nullable HostBuffer[] views = new @Nullable HostBuffer[links.length];
        for (Link link : links) {
            if (link != null) {
                views[link.peer] = targets.apply(link.peer);
                link.beginSend(tag, offers[link.peer]);
                link.beginReceive(tag, views[link.peer]);
            }
        }
        pump(tag.toString(), tag, deadline);
        return views;
    }

    /** What was offered is with the kernel: nobody looks at this rank's memory. */
    @Override
    public void finish(OperationTag tag, Deadline deadline) {}

    @Override
    public void send(OperationTag tag, HostBuffer data, int peer, Deadline deadline) {
        link(peer).beginSend(tag, data);
        pump(tag.toString(), null, deadline);
    }

    @Override
    public void receive(OperationTag tag, HostBuffer data, int peer, Deadline deadline) {
        link(peer).beginReceive(tag, data);
        pump("receive #" + tag.sequence() + " " + data.type() + "[" + data.length() + "]", tag, deadline);
    }

    private Link link(int peer) {
        Link link = links[peer];
        if (link == null) {
            throw new IllegalArgumentException("rank in group " + peer + " is this rank itself");
        }
        return link;
    }

    /** Moves bytes until every frame that was begun is complete. */
    @SuppressWarnings("ThreadPriorityCheck") // a hint: what is waited for is checked again either way
    private void pump(String what, @Nullable OperationTag tag, Deadline deadline) {
        int idle = 0;
        while (isBusy()) {
            boolean progress = false;
            for (Link link : links) {
                if (link != null) {
                    progress |= pump(link, what, tag);
                }
            }
            if (progress) {
                idle = 0;
                continue;
            }
            requireHealthy(what, deadline);
            for (Link link : links) {
                if (link != null) {
                    link.retry();
                }
            }
            if (++idle <= YIELDS) {
                Thread.yield();
            } else {
                select(what, deadline);
            }
        }
    }

    private boolean isBusy() {
        for (Link link : links) {
            if (link != null && (link.isSending() || link.isReceiving())) {
                return true;
            }
        }
        return false;
    }

    private boolean pump(Link link, String what, @Nullable OperationTag tag) {
        boolean progress = false;
        IOException broken = null;
        try {
            progress = link.pumpOut(out);
        } catch (IOException failure) {
            broken = failure; // its last words may still be here to be read
        }
        try {
            progress |= link.pumpIn(in);
            Verdict verdict = link.verdict();
            if (verdict != null) {
                throw new Failed(verdict);
            }
        } catch (IOException failure) {
            broken = broken == null ? failure : broken;
        } catch (IllegalArgumentException nonsense) {
            throw new Failed(Verdict.protocol(group, me, what, link.peer, String.valueOf(nonsense.getMessage())));
        }
        if (Thread.currentThread().isInterrupted()) {
            throw new Failed(Verdict.interrupted(group, me, what));
        }
        OperationTag came = link.cameWith();
        if (tag != null && link.isReceiving() && came != null && !came.equals(tag)) {
            throw new Failed(Verdict.mismatch(group, me, what, link.peer, came.toString(), tag.difference(came)));
        }
        if (link.saidGoodbye() && (link.isReceiving() || link.isSending())) {
            throw new Failed(Verdict.lost(group, me, what, link.peer, "left the group", broken));
        }
        if (broken != null || link.isBroken()) {
            String how = "is gone, its connection " + (broken == null ? "closed" : "failed: " + broken.getMessage());
            throw new Failed(Verdict.lost(group, me, what, link.peer, how, broken));
        }
        if (tag == null && link.isSending() && came != null && !came.operation().isTransfer()) {
            // The peer is in an operation of the whole group and will not read a transfer that does not fit the socket.
            throw new Failed(Verdict.mismatch(group, me, what, link.peer, came.toString(), "operation"));
        }
        return progress;
    }

    private void requireHealthy(String what, Deadline deadline) {
        Verdict verdict = fate.verdict();
        if (verdict != null) {
            throw new Failed(verdict);
        }
        if (Thread.currentThread().isInterrupted()) {
            throw new Failed(Verdict.interrupted(group, me, what));
        }
        if (deadline.passed()) {
            List<Integer> missing = new ArrayList<>();
            for (Link link : links) {
                if (link != null && (link.isReceiving() || link.isSending())) {
                    missing.add(link.peer);
                }
            }
            throw new Failed(Verdict.timeout(group, me, what, deadline, missing));
        }
    }

    private void select(String what, Deadline deadline) {
        for (Link link : links) {
            if (link != null) {
                link.awaitReadiness();
            }
        }
        try {
            selector.select((SelectionKey ready) -> {}, deadline.millis(100));
        } catch (IOException failure) {
            throw new Failed(new Verdict(
                    ErrorCode.INTERNAL,
                    group.rank(me),
                    Verdict.groupId(group),
                    what + " in " + group + ": cannot wait: " + failure,
                    -1,
                    failure));
        }
    }

    @Override
    public void close() {
        ByteBuffer words = Link.buffer(Frame.BYTES);
        Frame.goodbye(words);
        end(words.flip());
    }

    @Override
    public void abort(Verdict verdict) {
        ByteBuffer words = Link.buffer(Frame.BYTES + Verdict.MAX_TEXT);
        Frame.abort(words, verdict);
        end(words.flip());
    }

    private void end(ByteBuffer words) {
        if (!ended) {
            ended = true;
            for (Link link : links) {
                if (link != null) {
                    link.close(words.duplicate());
                }
            }
            Sockets.closeQuietly(selector);
        }
    }

    @Override
    public void wake() {
        selector.wakeup();
    }
}
