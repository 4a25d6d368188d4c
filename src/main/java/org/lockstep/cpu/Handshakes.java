package org.lockstep.cpu;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.security.SecureRandom;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.topology.ProcessGroup;

/**
 * Makes all TCP connections of one rank at once, in its own thread: of each pair the higher rank dials, the lower accepts.
 *
 * <p>Whoever comes without knowing the key costs little: at most {@value #HALF_OPEN} unproven connections are kept, of at
 * most five seconds and some hundred bytes each; the oldest makes room. A rank that was pushed out so dials again.
 * Steps: 3 messages a pair; bytes: 192 a pair.
 */
final class Handshakes {
    private static final int HALF_OPEN = 256;
    private static final long HALF_OPEN_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final int DIALS = 8;

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final ServerSocketChannel listener;
    private final Deadline deadline;
    private final Set<Links.Id> awaited = new HashSet<>();
    private final Map<Links.Id, Integer> dials = new HashMap<>();
    private final Deque<Handshake> halfOpen = new ArrayDeque<>();
    private final List<Handshake> dialling = new ArrayList<>();
    private final Links links = new Links();
    private final SecureRandom random = new SecureRandom();
    private int refusals;
    private String lastRefusal = "";

    Handshakes(
            Roster roster,
            int rank,
            WorldSpec spec,
            ServerSocketChannel listener,
            List<ProcessGroup> groups,
            Deadline deadline) {
        this.roster = roster;
        this.me = rank;
        this.spec = spec;
        this.listener = listener;
        this.deadline = deadline;
        for (ProcessGroup group : groups) {
            long id = Verdict.groupId(group);
            for (int peer : group.ranks()) {
                if (peer > me) {
                    awaited.add(new Links.Id(id, peer));
                } else if (peer < me) {
                    dials.put(new Links.Id(id, peer), 0);
                }
            }
        }
    }

    /**
     * All connections, proven.
     *
     * @throws CommunicatorException PEER_LOST, UNAUTHENTICATED or RENDEZVOUS_TIMEOUT, naming the peers
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
            throw failure(ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot connect: " + failure, failure);
        } finally {
            halfOpen.forEach(shake -> Sockets.closeQuietly(shake.channel()));
            dialling.forEach(shake -> Sockets.closeQuietly(shake.channel()));
            if (!complete) {
                links.close();
            }
        }
    }

    private void dial(Links.Id link, Selector selector) throws IOException {
        int tries = dials.merge(link, 1, Integer::sum) - 1;
        List<String> addresses = roster.hello(link.peer()).addresses();
        if (addresses.isEmpty() || tries >= DIALS + addresses.size()) {
            throw failure(
                    ErrorCode.UNAUTHENTICATED,
                    "rank " + link.peer() + " at " + addresses + " port "
                            + roster.hello(link.peer()).port() + " lets rank " + me + " not in: it " + lastRefusal,
                    null);
        }
        InetAddress address = InetAddress.getByName(addresses.get(tries % addresses.size())); // a literal
        SocketChannel channel = SocketChannel.open();
        try {
            channel.configureBlocking(false);
            channel.connect(
                    new InetSocketAddress(address, roster.hello(link.peer()).port()));
            Handshake shake = Handshake.dial(
                    channel, link, spec.key(), spec.attempt(), me, nonce(), System.nanoTime() + HALF_OPEN_NANOS);
            dialling.add(shake);
            channel.register(selector, shake.interest(), shake);
        } catch (ConnectException refused) {
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
        if (dials.getOrDefault(link, 0) >= addresses.size()) {
            throw failure(
                    ErrorCode.PEER_LOST,
                    "rank " + me + " cannot reach rank " + link.peer() + " at " + addresses + " port "
                            + roster.hello(link.peer()).port() + ": " + cause.getMessage(),
                    cause,
                    link.peer());
        }
        dial(link, selector);
    }

    private void accept(Selector selector) throws IOException {
        for (SocketChannel channel = listener.accept(); channel != null; channel = listener.accept()) {
            channel.configureBlocking(false);
            Handshake shake = Handshake.accept(
                    channel, spec.key(), spec.attempt(), me, nonce(), System.nanoTime() + HALF_OPEN_NANOS);
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
                links.put(proven, shake.channel());
            }
        } catch (ConnectException refused) {
            forget(shake);
            drop(shake, "refused the connection");
            if (link != null && shake.isDialler()) {
                unreachable(link, refused, selector);
            }
        } catch (IOException | Handshake.Refused refused) {
            forget(shake);
            String reason = String.valueOf(refused.getMessage());
            drop(shake, reason);
            if (link != null && shake.isDialler()) {
                if (reason.contains("does not know the key")) {
                    throw failure(
                            ErrorCode.UNAUTHENTICATED,
                            "rank " + link.peer() + " " + reason + " of rank " + me + "'s attempt",
                            null,
                            link.peer());
                }
                dial(link, selector);
            }
        }
    }

    private void expire(Selector selector) throws IOException {
        long now = System.nanoTime();
        while (!halfOpen.isEmpty() && halfOpen.element().until - now <= 0) {
            drop(halfOpen.remove(), "said nothing for five seconds");
        }
        for (Handshake shake : List.copyOf(dialling)) {
            if (shake.until - now <= 0) {
                forget(shake);
                drop(shake, "did not answer for five seconds");
                Links.Id link = shake.link();
                if (link != null) {
                    dial(link, selector);
                }
            }
        }
    }

    private void forget(Handshake shake) {
        halfOpen.remove(shake);
        dialling.remove(shake);
    }

    private void drop(Handshake shake, String reason) {
        refusals++;
        lastRefusal = shake.remote() + " " + reason;
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
        dials.keySet().stream().filter(id -> !links.has(id)).forEach(id -> missing.add(id.peer()));
        String refused = refusals == 0 ? "" : "; " + refusals + " connections were refused, the last: " + lastRefusal;
        int first = missing.stream().findFirst().orElse(me);
        return failure(
                ErrorCode.RENDEZVOUS_TIMEOUT,
                "rank " + me + " has no connection to ranks " + missing + " after " + deadline + refused,
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
