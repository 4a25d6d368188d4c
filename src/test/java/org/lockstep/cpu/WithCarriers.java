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

/** A backend whose groups carry buffers of a device too, as that of a GPU makes them. */
record WithCarriers(Backend real, Carriers devices) implements Backend {
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
                return door.connect(roster, state, devices);
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
