package org.lockstep.cpu;

import java.util.Set;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.collective.TransportKind;
import org.lockstep.rendezvous.LocalWorld;

/** Every rank on a host of its own, as far as it can tell. */
class TcpCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues(size);
    }

    @Override
    public Set<TransportKind> transports() {
        return Set.of(TransportKind.TCP);
    }
}
