package org.lockstep.transport;

import java.util.List;
import org.lockstep.collective.Hellos;
import org.lockstep.collective.Roster;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.Venue;

/** Rosters of two ranks in two pretended JVMs, without a meeting. */
final class Rosters {
    private Rosters() {}

    static Roster of(WorldSpec spec, List<String> addresses, int port0, int port1) {
        List<String> records = List.of(record(spec, addresses, 0, port0), record(spec, addresses, 1, port1));
        return Roster.of(records, spec);
    }

    private static String record(WorldSpec spec, List<String> addresses, int rank, int port) {
        return Hellos.of(spec, rank, rank, addresses, port).encode(spec.key());
    }

    /** A fate of its own. */
    static Fate fate(WorldSpec spec) {
        return Fate.of(new Venue(), spec.attempt(), 1);
    }
}
