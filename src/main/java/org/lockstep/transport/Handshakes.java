package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.security.SecureRandom;
import java.time.Duration;
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

/**
 * Makes all TCP connections of one rank at once, in its own thread: of each pair the higher rank dials, the lower accepts.
 *
 * <p>A peer that says nothing is slow, not hostile: its kernel takes connections while it has not come here yet. So
 * silence is dialled again until the deadline of the meeting; only peers that answer and refuse end the wait sooner.
 * Steps: 4 messages a pair; bytes: 193 a pair.
 */
final class Handshakes {
    private static final int REFUSALS = 8;

    static final Duration PATIENCE = Duration.ofSeconds(5);

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final Listeners listeners;
    private final Fate fate;
    private final Taker taker;
    private final Deadline deadline;
    private final Duration patience;
    private final Set<Links.Id> missing = new HashSet<>();

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
        missing.addAll(wanted);
    }

    /**
     * Returns when all are proven.
     *
     * @throws CommunicatorException PEER_LOST, UNAUTHENTICATED or RENDEZVOUS_TIMEOUT, naming the peers; ABORTED if the
     *     thread is interrupted, the door closed or the fate sealed, by whichever thread
     */
    void run() {
        SecureRandom random = new SecureRandom();
        Guests guests = new Guests(me, spec, patience, random, missing.size(), this::isExpected, this::take);
        try (Selector selector = Selector.open()) {
            guests.welcome(listeners, selector);
            Calls calls = new Calls(roster, me, spec, patience, Duration.ZERO, REFUSALS, selector, random, this::take);
            try (calls) {
                missing.stream().filter(link -> link.peer() < me).forEach(calls::add);
                while (!missing.isEmpty()) {
                    if (deadline.passed()) {
                        throw late(calls, guests);
                    }
                    if (Thread.currentThread().isInterrupted()) {
                        throw failure(ErrorCode.ABORTED, "rank " + me + " was interrupted while connecting", null);
                    }
                    calls.tick();
                    selector.select(deadline.millis(100));
                    requireOpen(null);
                    for (SelectionKey ready : selector.selectedKeys()) {
                        ((OnReady) ready.attachment()).proceed(ready);
                    }
                    selector.selectedKeys().clear();
                    guests.expire();
                }
            }
        } catch (ClosedChannelException closed) {
            requireOpen(closed); // in the middle of an accept, or before the selector knew it
            throw failure(ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot connect: " + closed, closed);
        } catch (IOException failure) {
            throw failure(ErrorCode.RENDEZVOUS_FAILED, "rank " + me + " cannot connect: " + failure, failure);
        } finally {
            guests.close();
        }
    }

    private boolean isExpected(Links.Id id) {
        return (id.peer() > me && missing.contains(id)) || taker.expects(id);
    }

    private void take(Links.Id id, Links.Proven connection) {
        missing.remove(id);
        taker.take(id, connection);
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

    private CommunicatorException late(Calls calls, Guests guests) {
        Set<Integer> absent = new TreeSet<>();
        missing.forEach(id -> absent.add(id.peer()));
        Map<Integer, String> reasons = new TreeMap<>();
        calls.missing((peer, reason) -> {
            if (!reason.isEmpty()) {
                reasons.put(peer, reason);
            }
        });
        StringBuilder why = new StringBuilder();
        reasons.forEach(
                (peer, reason) -> why.append("; rank ").append(peer).append(' ').append(reason));
        why.append(guests.refusals());
        int first = absent.stream().findFirst().orElse(me);
        return new CommunicatorException(LockstepException.report(
                        ErrorCode.RENDEZVOUS_TIMEOUT,
                        "rank " + me + " has no connection to ranks " + absent + " after " + deadline + why)
                .culprit(roster.describe(first)));
    }

    private static CommunicatorException failure(ErrorCode code, String summary, @Nullable Throwable cause) {
        return new CommunicatorException(LockstepException.report(code, summary).cause(cause));
    }
}
