package org.lockstep.transport;

import java.io.IOException;
import java.net.InetAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.function.UnaryOperator;
import org.lockstep.collective.Hello;
import org.lockstep.collective.Key;
import org.lockstep.rendezvous.Rendezvous;
import org.lockstep.rendezvous.Venue;

/** A meeting where each party tells the others that it is at other addresses and another port than it is. */
record Told(Rendezvous meeting, Key key, UnaryOperator<Place> tale) implements Rendezvous {
    /** Where a party says it is. */
    record Place(List<String> addresses, int port) {}

    /** A meeting where each party tells of an address that leads nowhere before its own. */
    static Told withDeadEnd(Rendezvous meeting, Key key, String deadEnd) {
        return new Told(meeting, key, mine -> {
            List<String> addresses = new ArrayList<>(List.of(deadEnd));
            addresses.addAll(mine.addresses());
            return new Place(addresses, mine.port());
        });
    }

    /** A meeting where each party tells the others of the port of a proxy before its own, which is added to {@code proxies}. */
    static Told through(Rendezvous meeting, Key key, ChaosProxy.Chaos chaos, Queue<? super ChaosProxy> proxies) {
        return new Told(meeting, key, mine -> {
            try {
                ChaosProxy proxy = new ChaosProxy(InetAddress.getLoopbackAddress(), mine.port(), chaos);
                proxies.add(proxy);
                return new Place(mine.addresses(), proxy.port());
            } catch (IOException failure) {
                throw new IllegalStateException(failure);
            }
        });
    }

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
        Place told = tale.apply(new Place(mine.addresses(), mine.port()));
        return meeting.allGather(new Hello(
                        mine.attempt(),
                        mine.version(),
                        mine.identity(),
                        mine.partition(),
                        mine.venue(),
                        mine.backend(),
                        told.addresses(),
                        told.port(),
                        mine.sizes(),
                        mine.order(),
                        mine.settings(),
                        mine.ids())
                .encode(key));
    }
}
