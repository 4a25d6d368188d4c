package org.lockstep.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ProcessGroup;

/**
 * The ranks of a group that are threads of one JVM, whose kernels have the addresses of each other's memory: none of it goes before
 * the last of them leaves. (What another process has mapped, the driver keeps.) Thread-safe.
 */
final class ExchangeRoom {
    private final Venue venue;
    private final Key key;
    private final List<Runnable> left = new ArrayList<>(); // guarded by this
    private int inside; // guarded by this

    private record Key(UUID attempt, List<Integer> ranks) {}

    private ExchangeRoom(Venue venue, Key key) {
        this.venue = venue;
        this.key = key;
    }

    /** Enters the room of a group, which whoever comes first has made, before any other rank is told an address. */
    static ExchangeRoom enter(Venue venue, UUID attempt, ProcessGroup group) {
        Key key = new Key(attempt, List.copyOf(group.ranks()));
        ExchangeRoom room = venue.shared(key, ExchangeRoom.class, () -> new ExchangeRoom(venue, key));
        room.enter();
        return room;
    }

    private synchronized void enter() {
        inside++;
    }

    /** Leaves, once, and has {@code free} run when all have left. */
    synchronized void leave(Runnable free) {
        left.add(free);
        inside--;
        if (inside == 0) {
            venue.forget(key);
            Release.all(left);
        }
    }
}
