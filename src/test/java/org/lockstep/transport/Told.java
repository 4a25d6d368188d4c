package org.lockstep.transport;

import java.util.ArrayList;
import java.util.List;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Key;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.Venue;

/** A meeting where each party tells of an address that leads nowhere before its own. */
record Told(Rendezvous meeting, Key key, String deadEnd) implements Rendezvous {
    @Override
    public int index() {
        return meeting.index();
    }

    @Override
    public int size() {
        return meeting.size();
    }

    @Override
    public Venue venue() {
        return meeting.venue();
    }

    @Override
    public List<String> allGather(String record) {
        Hello mine = Hello.decode(record, key);
        List<String> addresses = new ArrayList<>(List.of(deadEnd));
        addresses.addAll(mine.addresses());
        return meeting.allGather(new Hello(
                        mine.attempt(),
                        mine.version(),
                        mine.identity(),
                        mine.partition(),
                        mine.venue(),
                        mine.backend(),
                        addresses,
                        mine.port(),
                        mine.sizes(),
                        mine.order(),
                        mine.settings(),
                        mine.ids())
                .encode(key));
    }
}
