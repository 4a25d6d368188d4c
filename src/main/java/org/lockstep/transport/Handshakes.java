package org.lockstep.transport;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NoRouteToHostException;
import java.net.StandardSocketOptions;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;

/**
 * Makes all TCP connections of one rank at once, in its own thread: of each pair the higher rank dials, the lower accepts.
 *
 * <p>Whoever comes without knowing the key costs little: at most {@value #HALF_OPEN} unproven connections are kept, of at
 * most five seconds and some hundred bytes each; the oldest makes room. A rank that was pushed out so dials again.
 *
 * <p>A peer that says nothing is slow, not hostile: its kernel takes connections while it has not come here yet. So
 * silence is dialled again until the deadline of the meeting; only peers that answer and refuse end the wait sooner.
 * Steps: 3 messages a pair; bytes: 192 a pair.
 */
final class Handshakes {
    private static final int HALF_OPEN = 256;
    private static final Duration PATIENCE = Duration.ofSeconds(5);
    private static final int REFUSALS = 8;

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final ServerSocketChannel listener;
    private final Deadline deadline;
    private final Duration patience;
    private final Set<Links.Id> awaited = new HashSet<>();
    private final Map<Links.Id, Dial> dials = new HashMap<>();
    private final Deque<Handshake> halfOpen = new ArrayDeque<>();
    private final List<Handshake> dialling = new ArrayList<>();
    private final Links links = new Links();
    private final SecureRandom random = new SecureRandom();
    private int dropped;
    private String lastDropped = "";

    /** What became of this rank's calls at one peer's door. */
    private static final class Dial {
        private final Set<String> unreachable = new HashSet<>(); // addresses
        private int tries;
        private int refusals;
        private String reason = "";
    }

    Handshakes(
            Roster roster,
            int rank,
            WorldSpec spec,
            ServerSocketChannel listener,
            Set<Links.Id> wanted,
            Deadline deadline) {
        this(roster, rank, spec, listener, wanted, deadline, PATIENCE);
    }

    /** With connections that are given up after {@code patience} each, for tests that cannot wait so long. */
    Handshakes(
            Roster roster,
            int rank,
            WorldSpec spec,
            ServerSocketChannel listener,
            Set<Links.Id> wanted,
            Deadline deadline,
            Duration patience) {
        this.roster = roster;
        this.me = rank;
        this.spec = spec;
        this.listener = listener;
        this.deadline = deadline;
        this.patience = patience;
        for (Links.Id link : wanted) {
            if (link.peer() > me) {
                awaited.add(link);
            } else if (link.peer() < me) {
                dials.put(link, new Dial());
            }
        }
    }

    /**
     * All connections, proven.
     *
     * @throws CommunicatorException PEER_LOST, UNAUTHENTICATED or RENDEZVOUS_TIMEOUT, naming the peers; ABORTED if the
     *     thread is interrupted or the listener closed, by whichever thread
     */
    Links run() {
        boolean complete = false;
        try (Selector selector = Selector.open()) {
            listener.register(selector, SelectionKey.OP_ACCEPT);
            for (Links.Id link : List.copyOf(dials.keySet())) {
                dial(link, selector);
            }
            int wanted = awaited.size() + dials.size();
            while (links.count() < wanted) {
                if (deadline.passed()) {
                    throw late();
                }
                if (Thread.currentThread().isInterrupted()) {
                    throw failure(ErrorCode.ABORTED, "rank " + me + " was interrupted while connecting", null);
                }
                selector.select(deadline.millis(100));
                requireOpen(null);
                for (SelectionKey ready : selector.selectedKeys()) {
                    if (ready.attachment() instanceof Handshake shake) {
                        proceed(shake, ready, selector);
                    } else {
                        accept(selector);
                    }
                }
                selector.selectedKeys().clear();
                expire(selector);
            }
            complete = true;
            return links;
        } catch (IOException failure) {
            requireOpen(failure); // closed in the middle of an accept
            throw failure(ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot connect: " + failure, failure);
        } finally {
            halfOpen.forEach(shake -> Sockets.closeQuietly(shake.channel()));
            dialling.forEach(shake -> Sockets.closeQuietly(shake.channel()));
            if (!complete) {
                links.close(null);
            }
        }
    }

    /** A selector forgets a channel that is closed under it, so it has to be asked. */
    private void requireOpen(@Nullable IOException cause) {
        if (!listener.isOpen()) {
            throw failure(ErrorCode.ABORTED, "rank " + me + "'s endpoint was closed while it was connecting", cause);
        }
    }

    private Dial dialOf(Links.Id link) {
        Dial dial = dials.get(link);
        if (dial == null) {
            throw new IllegalStateException("rank " + me + " does not dial rank " + link.peer());
        }
        return dial;
    }

    private void dial(Links.Id link, Selector selector) throws IOException {
        List<String> addresses = roster.hello(link.peer()).addresses();
        Dial dial = dialOf(link);
        if (addresses.isEmpty() || dial.refusals >= REFUSALS + addresses.size()) {
            String reason = addresses.isEmpty() ? "has no address" : dial.reason;
            throw failure(
                    ErrorCode.UNAUTHENTICATED,
                    "rank " + link.peer() + door(link) + " lets rank " + me + " not in: it " + reason,
                    null,
                    link.peer());
        }
        String address = addresses.get(dial.tries++ % addresses.size());
        SocketChannel channel = SocketChannel.open();
        try {
            channel.configureBlocking(false);
            channel.connect(new InetSocketAddress(
                    InetAddress.getByName(address), // a literal
                    roster.hello(link.peer()).port()));
            Handshake shake = Handshake.dial(channel, link, spec.key(), spec.attempt(), me, nonce(), until());
            dialling.add(shake);
            channel.register(selector, shake.interest(), shake);
        } catch (ConnectException | NoRouteToHostException refused) {
            Sockets.closeQuietly(channel);
            unreachable(link, refused, selector);
        } catch (IOException | RuntimeException failure) {
            Sockets.closeQuietly(channel);
            throw failure;
        }
    }

    /** Everybody listens since before the meeting: who refuses a connection at all its addresses is gone. */
    private void unreachable(Links.Id link, IOException cause, Selector selector) throws IOException {
        List<String> addresses = roster.hello(link.peer()).addresses();
        Dial dial = dialOf(link);
        dial.unreachable.add(addresses.get((dial.tries - 1) % addresses.size()));
        dial.reason = "refused the connection: " + cause.getMessage();
        if (dial.unreachable.containsAll(addresses)) {
            throw failure(
                    ErrorCode.PEER_LOST,
                    "rank " + me + " cannot reach rank " + link.peer() + door(link) + ": " + cause.getMessage(),
                    cause,
                    link.peer());
        }
        dial(link, selector);
    }

    private String door(Links.Id link) {
        return " at " + roster.hello(link.peer()).addresses() + " port "
                + roster.hello(link.peer()).port();
    }

    private long until() {
        return System.nanoTime() + patience.toNanos();
    }

    private void accept(Selector selector) throws IOException {
        for (SocketChannel channel = listener.accept(); channel != null; channel = listener.accept()) {
            channel.configureBlocking(false);
            Handshake shake = Handshake.accept(channel, spec.key(), spec.attempt(), me, nonce(), until());
            channel.register(selector, SelectionKey.OP_READ, shake);
            halfOpen.add(shake);
            if (halfOpen.size() > HALF_OPEN) {
                drop(halfOpen.remove(), "was pushed out by " + HALF_OPEN + " newer connections");
            }
        }
    }

    private void proceed(Handshake shake, SelectionKey ready, Selector selector) throws IOException {
        if (!ready.isValid()) {
            return;
        }
        Links.Id link = shake.link();
        try {
            shake.proceed(id -> awaited.contains(id) && !links.has(id));
            if (!shake.isDone()) {
                ready.interestOps(shake.interest());
                return;
            }
            ready.cancel();
            forget(shake);
            shake.channel().setOption(StandardSocketOptions.TCP_NODELAY, true);
            Links.Id proven = shake.link();
            if (proven != null) {
                links.put(proven, new Links.Proven(shake.channel(), new CrcSeal()));
            }
        } catch (ConnectException | NoRouteToHostException refused) {
            forget(shake);
            Sockets.closeQuietly(shake.channel());
            if (link != null && shake.isDialler()) {
                unreachable(link, refused, selector);
            }
        } catch (IOException | Handshake.Refused refused) {
            forget(shake);
            String reason = String.valueOf(refused.getMessage());
            if (link == null || !shake.isDialler()) {
                drop(shake, reason);
                return;
            }
            Sockets.closeQuietly(shake.channel());
            if (refused instanceof Handshake.Refused exchange && exchange.wrongKey) {
                throw failure(
                        ErrorCode.UNAUTHENTICATED,
                        "rank " + link.peer() + " " + reason + " of rank " + me + "'s attempt",
                        null,
                        link.peer());
            }
            Dial dial = dialOf(link);
            dial.refusals++;
            dial.reason = reason;
            dial(link, selector);
        }
    }

    private void expire(Selector selector) throws IOException {
        long now = System.nanoTime();
        while (!halfOpen.isEmpty() && halfOpen.element().until - now <= 0) {
            drop(halfOpen.remove(), "said nothing for " + seconds());
        }
        for (Handshake shake : List.copyOf(dialling)) {
            if (shake.until - now <= 0) {
                forget(shake);
                Sockets.closeQuietly(shake.channel());
                Links.Id link = shake.link();
                if (link != null) {
                    dialOf(link).reason = "did not answer for " + seconds();
                    dial(link, selector);
                }
            }
        }
    }

    private String seconds() {
        return new Deadline(0, patience).toString();
    }

    private void forget(Handshake shake) {
        halfOpen.remove(shake);
        dialling.remove(shake);
    }

    /** Ends a connection of somebody who came; a stranger, as far as this rank can tell. */
    private void drop(Handshake shake, String reason) {
        dropped++;
        lastDropped = shake.remote() + " " + reason;
        Sockets.closeQuietly(shake.channel());
    }

    private byte[] nonce() {
        byte[] nonce = new byte[16];
        random.nextBytes(nonce);
        return nonce;
    }

    private CommunicatorException late() {
        Set<Integer> missing = new TreeSet<>();
        awaited.stream().filter(id -> !links.has(id)).forEach(id -> missing.add(id.peer()));
        Map<Integer, String> reasons = new TreeMap<>();
        dials.forEach((id, dial) -> {
            if (!links.has(id)) {
                missing.add(id.peer());
                if (!dial.reason.isEmpty()) {
                    reasons.put(id.peer(), dial.reason);
                }
            }
        });
        StringBuilder why = new StringBuilder();
        reasons.forEach(
                (peer, reason) -> why.append("; rank ").append(peer).append(' ').append(reason));
        if (dropped > 0) {
            why.append("; ").append(dropped).append(" connections to rank ").append(me);
            why.append(" were refused, the last: ").append(lastDropped);
        }
        int first = missing.stream().findFirst().orElse(me);
        return failure(
                ErrorCode.RENDEZVOUS_TIMEOUT,
                "rank " + me + " has no connection to ranks " + missing + " after " + deadline + why,
                null,
                first);
    }

    private CommunicatorException failure(ErrorCode code, String summary, @Nullable Throwable cause) {
        return new CommunicatorException(LockstepException.report(code, summary).cause(cause));
    }

    private CommunicatorException failure(ErrorCode code, String summary, @Nullable Throwable cause, int culprit) {
        return new CommunicatorException(LockstepException.report(code, summary)
                .culprit(roster.describe(culprit))
                .cause(cause));
    }
}
