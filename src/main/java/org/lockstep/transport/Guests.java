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
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.WorldSpec;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Those who come to a rank's door, until they have proven themselves or are sent away.
 *
 * <p>Whoever comes without knowing the key costs little: at most {@value #HALF_OPEN} unproven connections, or twice as
 * many as are awaited, are kept, of at most five seconds and some hundred bytes each; the oldest makes room. A rank that was
 * pushed out so dials again. Confined to one thread.
 */
final class Guests {
    private static final int HALF_OPEN = 256;
    private static final int TURN = 64; // let in at one go: who keeps the door may have others to hear
    private static final Logger LOG = LoggerFactory.getLogger(Guests.class);

    private final int me;
    private final WorldSpec spec;
    private final Duration patience;
    private final SecureRandom random;
    private final Predicate<Links.Id> expected;
    private final Taker taker;
    private final OpenFiles files = OpenFiles.ask();
    private final int mostHalfOpen;
    private final Deque<Handshake> halfOpen = new ArrayDeque<>();
    private int dropped;
    private String told = "";

    /**
     * Those of rank {@code me}.
     *
     * @param patience for each
     * @param awaited how many may come at once
     * @param expected whether a link is one that the rank waits for
     */
    Guests(
            int me,
            WorldSpec spec,
            Duration patience,
            SecureRandom random,
            int awaited,
            Predicate<Links.Id> expected,
            Taker taker) {
        this.me = me;
        this.spec = spec;
        this.patience = patience;
        this.random = random;
        this.mostHalfOpen = Math.max(HALF_OPEN, 2 * awaited);
        this.expected = expected;
        this.taker = taker;
    }

    /** Lets in who comes to these listeners. */
    void welcome(Listeners listeners, Selector selector) throws IOException {
        for (ServerSocketChannel listener : listeners.channels()) {
            OnReady accept = key -> accept(listener, selector);
            listener.register(selector, SelectionKey.OP_ACCEPT, accept);
        }
    }

    private void accept(ServerSocketChannel listener, Selector selector) throws IOException {
        for (int i = 0; i < TURN; i++) {
            SocketChannel channel = next(listener, i == 0);
            if (channel == null) {
                return;
            }
            channel.configureBlocking(false);
            byte[] nonce = new byte[Handshake.NONCE_BYTES];
            random.nextBytes(nonce);
            long until = System.nanoTime() + patience.toNanos();
            Handshake shake = Handshake.accept(channel, spec.key(), spec.attempt(), me, nonce, until);
            OnReady greet = key -> greet(shake, key);
            channel.register(selector, SelectionKey.OP_READ, greet);
            halfOpen.add(shake);
            if (halfOpen.size() > mostHalfOpen) {
                drop(halfOpen.remove(), "was pushed out by " + mostHalfOpen + " newer connections");
            }
        }
    }

    /**
     * Who is next at a listener; null if that is nobody, or has to wait until the oldest guest has made room.
     *
     * @param isThere whether somebody is known to be: the system finds that no file is left before it looks
     */
    private @Nullable SocketChannel next(ServerSocketChannel listener, boolean isThere) throws IOException {
        try {
            return listener.accept();
        } catch (ClosedChannelException closed) {
            throw closed;
        } catch (IOException failure) {
            if (OpenFiles.isLeft()) {
                LOG.debug("rank {} lost a connection before it was accepted", me, failure);
            } else if (isThere && halfOpen.isEmpty()) {
                throw files.exhausted("rank " + me + " cannot accept a connection", failure);
            } else if (isThere) {
                drop(halfOpen.remove(), "was pushed out: no more than " + files.most() + " files may be open");
            }
            return null;
        }
    }

    private void greet(Handshake shake, SelectionKey ready) {
        if (!ready.isValid()) {
            return;
        }
        try {
            shake.proceed(expected);
            Links.Id link = shake.link();
            if (shake.isDone() && link != null) {
                halfOpen.remove(shake);
                taker.take(link, shake.proven(ready, spec.encrypted()));
            } else {
                ready.interestOps(shake.interest());
            }
        } catch (IOException | Handshake.Refused refused) {
            halfOpen.remove(shake);
            drop(shake, String.valueOf(refused.getMessage()));
        }
    }

    /** Sends away who took too long. */
    void expire() {
        long now = System.nanoTime();
        while (!halfOpen.isEmpty() && halfOpen.element().until - now <= 0) {
            drop(halfOpen.remove(), "did not prove itself in " + new Deadline(0, patience));
        }
    }

    boolean isEmpty() {
        return halfOpen.isEmpty();
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

    /** Who was sent away, for errors; empty if nobody was. */
    String refusals() {
        return dropped == 0 ? "" : "; " + dropped + " connections to rank " + me + " were refused, the last: " + told;
    }

    /** Sends all away. */
    void close() {
        halfOpen.forEach(shake -> Sockets.closeQuietly(shake.channel()));
        halfOpen.clear();
        if (dropped > 1) {
            LOG.info("rank {} refused {} connections, the last: {}", me, dropped, told);
        }
    }
}
