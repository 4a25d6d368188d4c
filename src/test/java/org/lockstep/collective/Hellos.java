package org.lockstep.collective;

import java.util.List;

/** What parties of tests say of themselves, where no {@link World} says it for them. */
public final class Hellos {
    private Hellos() {}

    /** A party of this host without settings or ids. */
    public static Hello of(WorldSpec spec, int partition, long venue, List<String> addresses, int port) {
        return new Hello(
                spec.attempt(),
                "test",
                Identity.local(),
                partition,
                venue,
                "cpu",
                addresses,
                port,
                spec.sizes(),
                spec.order(),
                new Hello.Settings(0, List.of()),
                List.of());
    }

    /** A party that is on another host than this one, as far as its peers can tell. */
    public static Identity ofAnotherHost() {
        Identity here = Identity.local();
        return here.withHost(here.bootId() + 1, here.hostName() + "-2");
    }
}
