package org.lockstep.collective;

import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.lockstep.rendezvous.RendezvousException;
import org.lockstep.rendezvous.Venue;

/**
 * One roster for all parties of a venue: the first that has the records makes it, the others see that theirs are the same.
 *
 * <p>A party enters before the meeting and closes once it has its roster or has failed, so that the last to go clears the
 * place. A thousand threads of one JVM would else read a million records. Thread-safe.
 */
final class SharedRoster implements AutoCloseable {
    private final Room room;
    private boolean closed;

    private SharedRoster(Room room) {
        this.room = room;
    }

    /** What the parties of a venue that were told the same have in common. */
    private static final class Room {
        private final Venue venue;
        private final WorldSpec spec;
        private int inside;
        private boolean over;
        private @Nullable List<? extends @Nullable String> records;
        private @Nullable Roster roster;
        private @Nullable RendezvousException failure;

        Room(Venue venue, WorldSpec spec) {
            this.venue = venue;
            this.spec = spec;
        }

        /** False if the last party has left: the venue has forgotten this room. */
        synchronized boolean enter() {
            inside += over ? 0 : 1;
            return !over;
        }

        synchronized void leave() {
            inside--;
            if (inside == 0) {
                over = true;
                venue.forget(spec);
            }
        }

        synchronized Roster roster(List<? extends @Nullable String> mine) {
            if (records == null) {
                make(mine);
            }
            if (!Objects.equals(records, mine)) {
                return Roster.of(mine, spec); // another meeting under the same name: its own affair
            }
            if (failure != null) {
                throw failure;
            }
            return Objects.requireNonNull(roster);
        }

        private void make(List<? extends @Nullable String> mine) {
            try {
                roster = Roster.of(mine, spec);
            } catch (RendezvousException refusal) {
                failure = refusal;
            }
            records = mine;
        }
    }

    /** A party comes. */
    static SharedRoster enter(Venue venue, WorldSpec spec) {
        while (true) {
            Room room = venue.shared(spec, Room.class, () -> new Room(venue, spec));
            if (room.enter()) {
                return new SharedRoster(room);
            }
        }
    }

    /**
     * The roster of the records; the same value for all parties of the venue that have the same.
     *
     * @throws RendezvousException as {@link Roster#of}, for all of them the same
     */
    Roster of(List<? extends @Nullable String> records) {
        return room.roster(records);
    }

    /** Idempotent; from the thread that entered. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            room.leave();
        }
    }
}
