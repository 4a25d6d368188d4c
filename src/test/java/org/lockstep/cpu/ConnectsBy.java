package org.lockstep.cpu;

import java.util.List;
import org.lockstep.collective.Backend;
import org.lockstep.collective.Carriers;
import org.lockstep.collective.Communicators;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;
import org.lockstep.tensor.Kernels;
import org.lockstep.topology.ParallelState;

/** A backend whose ranks connect in another way than it does by itself. */
public record ConnectsBy(Backend real, How how) implements Backend {
    /** What a rank that has met its peers does at its door. */
    @FunctionalInterface
    public interface How {
        Communicators connect(Endpoint door, Roster roster, ParallelState state);
    }

    /** Its groups carry buffers of a device too, as that of a GPU makes them. */
    static ConnectsBy carriers(Backend real, Carriers devices) {
        return new ConnectsBy(real, (door, roster, state) -> door.connect(roster, state, devices));
    }

    /** Its rank comes to the meeting and dies before it connects: its door is gone when peers come. */
    public static ConnectsBy dying(Backend real) {
        return new ConnectsBy(real, (door, roster, state) -> {
            door.close();
            throw new IllegalStateException("planned: dies after the meeting");
        });
    }

    @Override
    public String name() {
        return real.name();
    }

    @Override
    public Kernels kernels() {
        return real.kernels();
    }

    @Override
    public Endpoint open(Venue venue, WorldSpec spec) {
        Endpoint door = real.open(venue, spec);
        return new Endpoint() {
            @Override
            public List<String> addresses() {
                return door.addresses();
            }

            @Override
            public int port() {
                return door.port();
            }

            @Override
            public Communicators connect(Roster roster, ParallelState state) {
                return how.connect(door, roster, state);
            }

            @Override
            public void close() {
                door.close();
            }
        };
    }

    @Override
    public void close() {
        real.close();
    }
}
