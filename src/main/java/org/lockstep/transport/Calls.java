package org.lockstep.transport;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The calls of one rank at the doors of its lower peers, until each has let it in. Confined to one thread.
 *
 * <p>A peer's addresses are tried in their order, the next one when the one before failed or has not answered for
 * {@link #STAGGER} (as RFC 8305 does), round and round; the first that proves itself is kept.
 */
final class Calls {
    private static final Duration STAGGER = Duration.ofMillis(250);
    private static final int REFUSALS = 8;
    private static final Logger LOG = LoggerFactory.getLogger(Calls.class);

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final Duration patience;
    private final Selector selector;
    private final SecureRandom random;
    private final Map<Links.Id, Peer> peers = new LinkedHashMap<>();
    private final Set<Integer> elsewhere = new HashSet<>(); // peers, than at their first address

    /** What became of the calls for one link. */
    private static final class Peer {
        private final Links.Id link;
        private final Hello hello;
        private final Set<String> unreachable = new HashSet<>(); // addresses
        private final List<Call> open = new ArrayList<>();
        private int tries;
        private long nextAt;
        private int refusals;
        private String reason = "";

        Peer(Links.Id link, Hello hello) {
            this.link = link;
            this.hello = hello;
        }

        String door() {
            return "rank " + link.peer() + " at " + hello.addresses() + " port " + hello.port();
        }
    }

    /** One connection to one address. */
    record Call(Links.Id link, String address, Handshake shake) {}

    Calls(
            Roster roster,
            int me,
            WorldSpec spec,
            Duration patience,
            Selector selector,
            SecureRandom random,
            Set<Links.Id> links) {
        this.roster = roster;
        this.me = me;
        this.spec = spec;
        this.patience = patience;
        this.selector = selector;
        this.random = random;
        links.forEach(link -> peers.put(link, new Peer(link, roster.hello(link.peer()))));
    }

    /** Calls whoever is to be called now, and gives up what took too long. */
    void tick() throws IOException {
        long now = System.nanoTime();
        for (Peer peer : peers.values()) {
            for (Call call : List.copyOf(peer.open)) {
                if (call.shake().until - now <= 0) {
                    end(peer, call);
                    peer.reason = "did not answer for " + new Deadline(0, patience);
                }
            }
            boolean pending =
                    peer.open.stream().allMatch(call -> call.shake().channel().isConnectionPending());
            boolean another = peer.tries % Math.max(1, peer.hello.addresses().size()) != 0;
            if (peer.open.isEmpty() || (pending && another && now - peer.nextAt >= 0)) {
                call(peer);
            }
        }
    }

    private void call(Peer peer) throws IOException {
        List<String> addresses = peer.hello.addresses();
        if (addresses.isEmpty() || peer.refusals >= REFUSALS + addresses.size()) {
            String reason = addresses.isEmpty() ? "has no address" : peer.reason;
            throw failure(
                    ErrorCode.UNAUTHENTICATED,
                    peer.door() + " lets rank " + me + " not in: it " + reason,
                    null,
                    peer.link.peer());
        }
        String address = addresses.get(peer.tries++ % addresses.size());
        peer.nextAt = System.nanoTime() + STAGGER.toNanos();
        SocketChannel channel = SocketChannel.open();
        try {
            channel.configureBlocking(false);
            InetAddress literal = InetAddress.getByName(address);
            channel.connect(new InetSocketAddress(literal, peer.hello.port()));
        } catch (IOException | RuntimeException refused) { // the latter where the system has no such addresses
            Sockets.closeQuietly(channel);
            unreachable(peer, address, refused);
            return;
        }
        byte[] nonce = new byte[Handshake.NONCE_BYTES];
        random.nextBytes(nonce);
        long until = System.nanoTime() + patience.toNanos();
        Handshake shake = Handshake.dial(channel, peer.link, spec.key(), spec.attempt(), me, nonce, until);
        Call call = new Call(peer.link, address, shake);
        peer.open.add(call);
        channel.register(selector, shake.interest(), call);
    }

    /** Everybody listens since before the meeting: who refuses a connection at all its addresses is gone. */
    private void unreachable(Peer peer, String address, Exception cause) throws IOException {
        peer.unreachable.add(address);
        peer.reason = "refused the connection at " + address + ": " + cause.getMessage();
        if (peer.unreachable.containsAll(peer.hello.addresses())) {
            throw failure(
                    ErrorCode.PEER_LOST,
                    "rank " + me + " cannot reach " + peer.door() + ": " + cause.getMessage(),
                    cause,
                    peer.link.peer());
        }
        if (peer.open.isEmpty()) {
            call(peer);
        }
    }

    /** A call can go on. */
    void proceed(Call call, SelectionKey ready) throws IOException {
        Peer peer = peers.get(call.link());
        if (peer == null || !ready.isValid()) {
            return;
        }
        Handshake shake = call.shake();
        try {
            shake.proceed(any -> true);
            if (!shake.isDone()) {
                ready.interestOps(shake.interest());
                return;
            }
        } catch (IOException refused) {
            boolean reached = shake.channel().isConnected(); // by now: it may have been shut in the same breath
            end(peer, call);
            if (reached) {
                refuse(peer, String.valueOf(refused.getMessage()));
            } else {
                unreachable(peer, call.address(), refused);
            }
            return;
        } catch (Handshake.Refused refused) {
            end(peer, call);
            if (refused.wrongKey) {
                throw failure(
                        ErrorCode.UNAUTHENTICATED,
                        "rank " + peer.link.peer() + " " + refused.getMessage() + " of rank " + me + "'s attempt",
                        null,
                        peer.link.peer());
            }
            refuse(peer, String.valueOf(refused.getMessage()));
            return;
        }
        tell(peer, call.address());
        peer.open.remove(call);
        peer.open.forEach(other -> Sockets.closeQuietly(other.shake().channel()));
        peers.remove(call.link());
    }

    /** Says once for each peer, not each link, that its first address, unreachable or slower, was not the one: data go another way. */
    private void tell(Peer peer, String address) {
        List<String> before =
                peer.hello.addresses().subList(0, peer.hello.addresses().indexOf(address));
        if (!before.isEmpty() && elsewhere.add(peer.link.peer())) {
            LOG.info(
                    "rank {} reached {} by {}, and not by {}, which did not answer first",
                    me,
                    peer.door(),
                    address,
                    before);
        } else {
            LOG.debug("rank {} reached {} by {}", me, peer.door(), address);
        }
    }

    private void refuse(Peer peer, String reason) throws IOException {
        peer.refusals++;
        peer.reason = reason;
        if (peer.open.isEmpty()) {
            call(peer);
        }
    }

    private static void end(Peer peer, Call call) {
        peer.open.remove(call);
        Sockets.closeQuietly(call.shake().channel());
    }

    /** Whoever has not let this rank in yet, and why. */
    void missing(BiConsumer<Integer, String> each) {
        peers.values().forEach(peer -> each.accept(peer.link.peer(), peer.reason));
    }

    /** Gives up all calls. */
    void close() {
        peers.values()
                .forEach(peer -> peer.open.forEach(
                        call -> Sockets.closeQuietly(call.shake().channel())));
    }

    private CommunicatorException failure(ErrorCode code, String summary, @Nullable Throwable cause, int culprit) {
        return new CommunicatorException(LockstepException.report(code, summary)
                .culprit(roster.describe(culprit))
                .cause(cause));
    }
}
