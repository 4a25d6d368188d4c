package org.lockstep.transport;

import java.io.IOException;
import java.nio.channels.Selector;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.lockstep.collective.CommunicatorException;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;

/**
 * Keeps a rank's door after the meeting, for the connections that it first needs in an operation. Whoever needs one calls, as at
 * the meeting; neither rank's own thread has a part in it, so that no order of operations can block.
 *
 * <p>Where both call at once the higher rank's call counts: it refuses the other's, which by then waits for no more than that.
 * Confined to the control thread once it {@linkplain #begin began}; at the meeting it takes what comes early.
 */
final class Doorkeeper implements Taker {
    /** Before another call at a peer that refused one: longer than its own call takes. */
    private static final Duration RESPITE = Duration.ofMillis(250);

    private final Roster roster;
    private final int me;
    private final WorldSpec spec;
    private final Listeners listeners;
    private final Set<Links.Id> later;
    private final Links links;
    private final SecureRandom random = new SecureRandom();
    private final Guests guests;
    private @Nullable Calls calls;

    /**
     * Of rank {@code me}.
     *
     * @param later the links that may be needed some time
     */
    Doorkeeper(Roster roster, int me, WorldSpec spec, Listeners listeners, Set<Links.Id> later, Links links) {
        this.roster = roster;
        this.me = me;
        this.spec = spec;
        this.listeners = listeners;
        this.later = Set.copyOf(later);
        this.links = links;
        this.guests = new Guests(me, spec, Handshakes.PATIENCE, random, later.size(), this::expects, this);
    }

    /** Takes over the door. */
    void begin(Selector selector) throws IOException {
        // as often as it takes: who refuses may be calling itself, and its call go on for long; the operation has its
        // time
        calls = new Calls(roster, me, spec, Handshakes.PATIENCE, RESPITE, Integer.MAX_VALUE, selector, random, this);
        if (listeners.isOpen()) { // or the rank left already
            guests.welcome(listeners, selector);
        }
    }

    @Override
    public boolean expects(Links.Id id) {
        Calls ours = calls;
        boolean called = ours != null && ours.has(id);
        return later.contains(id) && !links.has(id) && !(called && me > id.peer());
    }

    @Override
    public void take(Links.Id id, Links.Proven connection) {
        Calls ours = calls;
        if (ours != null) {
            ours.drop(id);
        }
        links.put(id, connection);
    }

    @Override
    public void fail(Links.Id id, CommunicatorException why) {
        links.fail(id, why);
    }

    /** Does what there is to do; false once the rank has left, and all is closed. */
    boolean turn() throws IOException {
        Calls ours = calls;
        if (ours == null || !links.isOpen()) {
            close();
            return false;
        }
        for (Links.Id id = links.nextWanted(); id != null; id = links.nextWanted()) {
            if (!links.has(id)) {
                ours.add(id);
            }
        }
        ours.tick();
        guests.expire();
        return true;
    }

    /** Whether there is something to do some time soon. */
    boolean isBusy() {
        return (calls != null && !calls.isEmpty()) || !guests.isEmpty();
    }

    /** Sends all away who are not through, and closes the door. */
    void close() {
        guests.close();
        if (calls != null) {
            calls.close();
        }
        listeners.close();
    }
}
