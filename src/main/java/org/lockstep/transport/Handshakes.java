package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes all TCP connections of one rank at once, in its own thread: of each pair the higher rank dials, the lower accepts.
 *
 * <p>Whoever comes without knowing the key costs little: at most {@value #HALF_OPEN} unproven connections, or twice as
 * many as are awaited, are kept, of at most five seconds and some hundred bytes each; the oldest makes room. A rank that was
 * pushed out so dials again.
 *
 * <p>A peer that says nothing is slow, not hostile: its kernel takes connections while it has not come here yet. So
 * silence is dialled again until the deadline of the meeting; only peers that answer and refuse end the wait sooner.
 * Steps: 3 messages a pair; bytes: 192 a pair.
 */
final class Handshakes {
    static final Duration PATIENCE = Duration.ofSeconds(5);

    private static final int HALF_OPEN = 256;
    private static final Logger LOG = LoggerFactory.getLogger(Handshakes.class);

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final Listeners listeners;
    private final Fate fate;
    private final Taker taker;
    private final Deadline deadline;
    private final Duration patience;
    private final Set<Links.Id> awaited = new HashSet<>();
    private final Set<Links.Id> dialled = new HashSet<>();
    private final Set<Links.Id> proven = new HashSet<>();
    private final Deque<Handshake> halfOpen = new ArrayDeque<>();
    private final int mostHalfOpen;
    private final SecureRandom random = new SecureRandom();
    private int dropped;
    private String told = "";

    /** Who takes a connection as soon as it is proven. */
    @FunctionalInterface
    interface Taker {
        void take(Links.Id id, Links.Proven connection);
    }

    /**
     * Of the links {@code wanted}.
     *
     * @param fate that ends the wait when it is sealed
     * @param patience for each connection that says nothing
     */
    Handshakes(
            Roster roster,
            int rank,
            WorldSpec spec,
            Listeners listeners,
            Set<Links.Id> wanted,
            Fate fate,
            Taker taker,
            Deadline deadline,
            Duration patience) {
        this.roster = roster;
        this.me = rank;
        this.spec = spec;
        this.listeners = listeners;
        this.fate = fate;
        this.taker = taker;
        this.deadline = deadline;
        this.patience = patience;
        for (Links.Id link : wanted) {
            if (link.peer() > me) {
                awaited.add(link);
            } else if (link.peer() < me) {
                dialled.add(link);
            }
        }
        this.mostHalfOpen = Math.max(HALF_OPEN, 2 * awaited.size()); // all that are awaited may come at once
    }

    /**
     * Returns when all are proven.
     *
     * @throws CommunicatorException PEER_LOST, UNAUTHENTICATED or RENDEZVOUS_TIMEOUT, naming the peers; ABORTED if the
     *     thread is interrupted, the door closed or the fate sealed, by whichever thread
     */
    void run() {
        Calls calls = null;
        try (Selector selector = Selector.open()) {
            for (ServerSocketChannel listener : listeners.channels()) {
                listener.register(selector, SelectionKey.OP_ACCEPT, listener);
            }
            calls = new Calls(roster, me, spec, patience, selector, random, dialled);
            int wanted = awaited.size() + dialled.size();
            while (proven.size() < wanted) {
                if (deadline.passed()) {
                    throw late(calls);
                }
                if (Thread.currentThread().isInterrupted()) {
                    throw failure(ErrorCode.ABORTED, "rank " + me + " was interrupted while connecting", null);
                }
                calls.tick();
                selector.select(deadline.millis(100));
                requireOpen(null);
                for (SelectionKey ready : selector.selectedKeys()) {
                    proceed(ready, calls, selector);
                }
                selector.selectedKeys().clear();
                expire();
            }
        } catch (ClosedChannelException closed) {
            requireOpen(closed); // in the middle of an accept, or before the selector knew it
            throw failure(ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot connect: " + closed, closed);
        } catch (IOException failure) {
            throw failure(ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot connect: " + failure, failure);
        } finally {
            halfOpen.forEach(shake -> Sockets.closeQuietly(shake.channel()));
            if (calls != null) {
                calls.close();
            }
            if (dropped > 1) {
                LOG.info("rank {} refused {} connections, the last: {}", me, dropped, told);
            }
        }
    }

    /** A selector forgets a channel that is closed under it, so it has to be asked. */
    private void requireOpen(@Nullable IOException cause) {
        if (!listeners.isOpen()) {
            throw failure(ErrorCode.ABORTED, "rank " + me + "'s endpoint was closed while it was connecting", cause);
        }
        Verdict verdict = fate.verdict();
        if (verdict != null) {
            throw new Failed(verdict);
        }
    }

    private void proceed(SelectionKey ready, Calls calls, Selector selector) throws IOException {
        if (ready.attachment() instanceof ServerSocketChannel listener) {
            accept(listener, selector);
        } else if (ready.attachment() instanceof Calls.Call call) {
            calls.proceed(call, ready);
            take(call.shake(), ready);
        } else if (ready.attachment() instanceof Handshake shake && ready.isValid()) {
            greet(shake, ready);
        }
    }

    private void accept(ServerSocketChannel listener, Selector selector) throws IOException {
        for (SocketChannel channel = listener.accept(); channel != null; channel = listener.accept()) {
            channel.configureBlocking(false);
            byte[] nonce = new byte[Handshake.NONCE_BYTES];
            random.nextBytes(nonce);
            long until = System.nanoTime() + patience.toNanos();
            Handshake shake = Handshake.accept(channel, spec.key(), spec.attempt(), me, nonce, until);
            channel.register(selector, SelectionKey.OP_READ, shake);
            halfOpen.add(shake);
            if (halfOpen.size() > mostHalfOpen) {
                drop(halfOpen.remove(), "was pushed out by " + mostHalfOpen + " newer connections");
            }
        }
    }

    /** Somebody who came goes on. */
    private void greet(Handshake shake, SelectionKey ready) throws IOException {
        try {
            shake.proceed(id -> awaited.contains(id) && !proven.contains(id));
            if (shake.isDone()) {
                halfOpen.remove(shake);
                take(shake, ready);
            } else {
                ready.interestOps(shake.interest());
            }
        } catch (IOException | Handshake.Refused refused) {
            halfOpen.remove(shake);
            drop(shake, String.valueOf(refused.getMessage()));
        }
    }

    private void take(Handshake shake, SelectionKey ready) throws IOException {
        Links.Id id = shake.link();
        if (shake.isDone() && id != null) {
            ready.cancel();
            Sockets.tune(shake.channel());
            proven.add(id);
            taker.take(id, new Links.Proven(shake.channel(), shake.seal(spec.encrypted())));
        }
    }

    private void expire() {
        long now = System.nanoTime();
        while (!halfOpen.isEmpty() && halfOpen.element().until - now <= 0) {
            drop(halfOpen.remove(), "did not prove itself in " + new Deadline(0, patience));
        }
    }

    /** Ends a connection of somebody who came; a stranger, as far as this rank can tell. */
    private void drop(Handshake shake, String reason) {
        if (told.isEmpty() || !reason.equals(Handshake.HUNG_UP)) { // what says least is not what is told
            told = shake.remote() + " " + reason;
        }
        if (dropped++ == 0) { // the others are counted, and told at the end: a scan shall not fill the log
            LOG.warn("rank {} refused a connection: {}", me, told);
        }
        Sockets.closeQuietly(shake.channel());
    }

    private CommunicatorException late(Calls calls) {
        Set<Integer> missing = new TreeSet<>();
        awaited.stream().filter(id -> !proven.contains(id)).forEach(id -> missing.add(id.peer()));
        Map<Integer, String> reasons = new TreeMap<>();
        calls.missing((peer, reason) -> {
            missing.add(peer);
            if (!reason.isEmpty()) {
                reasons.put(peer, reason);
            }
        });
        StringBuilder why = new StringBuilder();
        reasons.forEach(
                (peer, reason) -> why.append("; rank ").append(peer).append(' ').append(reason));
        if (dropped > 0) {
            why.append("; ").append(dropped).append(" connections to rank ").append(me);
            why.append(" were refused, the last: ").append(told);
        }
        int first = missing.stream().findFirst().orElse(me);
        return new CommunicatorException(LockstepException.report(
                        ErrorCode.RENDEZVOUS_TIMEOUT,
                        "rank " + me + " has no connection to ranks " + missing + " after " + deadline + why)
                .culprit(roster.describe(first)));
    }

    private static CommunicatorException failure(ErrorCode code, String summary, @Nullable Throwable cause) {
        return new CommunicatorException(LockstepException.report(code, summary).cause(cause));
    }
}
