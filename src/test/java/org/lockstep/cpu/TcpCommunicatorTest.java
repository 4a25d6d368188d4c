package org.lockstep.cpu;

import java.util.Set;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;

/** Every rank in a JVM of its own on a host of its own, as far as it can tell. */
class TcpCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues(size);
    }

    @Override
    public WorldSpec adapted(WorldSpec spec) {
        return spec.withTransports(Set.of(TransportKind.TCP));
    }
}
