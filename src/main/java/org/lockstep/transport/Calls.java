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
 * The calls of one rank at the doors of its peers, until each has let it in. Confined to one thread.
 *
 * <p>A peer's addresses are tried in their order, the next one when the one before failed or has not answered for
 * {@link #STAGGER} (as RFC 8305 does), round and round; the first that proves itself is kept.
 */
final class Calls implements AutoCloseable {
    private static final Duration STAGGER = Duration.ofMillis(250);
    private static final Logger LOG = LoggerFactory.getLogger(Calls.class);

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final Duration patience;
    private final Duration respite;
    private final int mostRefusals;
    private final Selector selector;
    private final SecureRandom random;
    private final Taker taker;
    private final OpenFiles files = OpenFiles.ask();
    private final Map<Links.Id, Peer> peers = new LinkedHashMap<>();
    private final Set<Integer> elsewhere = new HashSet<>(); // peers, than at their first address

    /** What became of the calls for one link. */
    private static final class Peer {
        private final Links.Id link;
        private final Hello hello;
        private final Set<String> unreachable = new HashSet<>(); // addresses
        private final List<Call> open = new ArrayList<>();
        private int tries;
        private long nextAt; // at another address
        private long againAt; // after a refusal
        private int refusals;
        private String reason = "";

        Peer(Links.Id link, Hello hello) {
            this.link = link;
            this.hello = hello;
            this.againAt = System.nanoTime();
        }

        String door() {
            return "rank " + link.peer() + " at " + hello.addresses() + " port " + hello.port();
        }
    }

    /** One connection to one address. */
    private record Call(Links.Id link, String address, Handshake shake) {}

    /**
     * Those of rank {@code me}.
     *
     * @param patience for a peer that says nothing
     * @param respite before the next call at a peer that refused one
     * @param mostRefusals of one peer, besides one for each of its addresses: after these it is given up
     */
    Calls(
            Roster roster,
            int me,
            WorldSpec spec,
            Duration patience,
            Duration respite,
            int mostRefusals,
            Selector selector,
            SecureRandom random,
            Taker taker) {
        this.roster = roster;
        this.me = me;
        this.spec = spec;
        this.patience = patience;
        this.respite = respite;
        this.mostRefusals = mostRefusals;
        this.selector = selector;
        this.random = random;
        this.taker = taker;
    }

    /** Calls for this link too, from the next {@link #tick} on. */
    void add(Links.Id link) {
        peers.putIfAbsent(link, new Peer(link, roster.hello(link.peer())));
    }

    /** Whether there are calls for this link. */
    boolean has(Links.Id link) {
        return peers.containsKey(link);
    }

    boolean isEmpty() {
        return peers.isEmpty();
    }

    /** Gives up the calls for this link, if there are any. */
    void drop(Links.Id link) {
        Peer peer = peers.remove(link);
        if (peer != null) {
            peer.open.forEach(call -> Sockets.closeQuietly(call.shake().channel()));
        }
    }

    /** Calls whoever is to be called now, and gives up what took too long. */
    void tick() throws IOException {
        long now = System.nanoTime();
        for (Peer peer : List.copyOf(peers.values())) {
            for (Call call : List.copyOf(peer.open)) {
                if (call.shake().until - now <= 0 && !call.shake().isAnswered()) {
                    end(peer, call);
                    peer.reason = "did not answer for " + new Deadline(0, patience);
                }
            }
            boolean pending =
                    peer.open.stream().allMatch(call -> call.shake().channel().isConnectionPending());
            boolean another = peer.tries % Math.max(1, peer.hello.addresses().size()) != 0;
            if (peer.open.isEmpty() ? now - peer.againAt >= 0 : pending && another && now - peer.nextAt >= 0) {
                call(peer);
            }
        }
    }

    private void call(Peer peer) throws IOException {
        List<String> addresses = peer.hello.addresses();
        if (addresses.isEmpty() || peer.refusals - addresses.size() >= mostRefusals) {
            String reason = addresses.isEmpty() ? "has no address" : peer.reason;
            fail(peer, ErrorCode.UNAUTHENTICATED, peer.door() + " lets rank " + me + " not in: it " + reason, null);
            return;
        }
        String address = addresses.get(peer.tries++ % addresses.size());
        peer.nextAt = System.nanoTime() + STAGGER.toNanos();
        SocketChannel channel;
        try {
            channel = SocketChannel.open();
        } catch (IOException none) {
            drop(peer.link);
            String what = "rank " + me + " cannot open a connection to " + peer.door();
            taker.fail(peer.link, files.exhausted(what, none));
            return;
        }
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
        OnReady proceed = key -> proceed(call, key);
        channel.register(selector, shake.interest(), proceed);
    }

    /** Everybody listens since before the meeting: who refuses a connection at all its addresses is gone. */
    private void unreachable(Peer peer, String address, Exception cause) throws IOException {
        peer.unreachable.add(address);
        String why = Sockets.reason(cause);
        peer.reason = "refused the connection at " + address + ": " + why;
        if (peer.unreachable.containsAll(peer.hello.addresses())) {
            fail(peer, ErrorCode.PEER_LOST, "rank " + me + " cannot reach " + peer.door() + ": " + why, cause);
        } else if (peer.open.isEmpty()) {
            call(peer);
        }
    }

    private void proceed(Call call, SelectionKey ready) throws IOException {
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
                fail(
                        peer,
                        ErrorCode.UNAUTHENTICATED,
                        "rank " + peer.link.peer() + " " + refused.getMessage() + " of rank " + me + "'s attempt",
                        null);
                return;
            }
            refuse(peer, String.valueOf(refused.getMessage()));
            return;
        }
        tell(peer, call.address());
        peer.open.remove(call);
        drop(call.link());
        taker.take(call.link(), shake.proven(ready, spec.encrypted()));
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
        peer.againAt = System.nanoTime() + respite.toNanos();
        if (peer.open.isEmpty() && respite.isZero()) {
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
    @Override
    public void close() {
        List.copyOf(peers.keySet()).forEach(this::drop);
    }

    private void fail(Peer peer, ErrorCode code, String summary, @Nullable Throwable cause) {
        drop(peer.link);
        taker.fail(
                peer.link,
                new CommunicatorException(LockstepException.report(code, summary)
                        .culprit(roster.describe(peer.link.peer()))
                        .cause(cause)));
    }
}
