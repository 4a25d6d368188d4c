package org.lockstep.collective;

import java.util.Set;
import org.lockstep.rendezvous.LocalWorld;

/** The same of ranks that are each on a host of its own, as far as they can tell. */
class TensorMapsOverTcpTest extends TensorMapsTest {
    @Override
    public LocalWorld localWorld(int size) {
        return LocalWorld.of(size).withVenues(size);
    }

    @Override
    public Set<TransportKind> transports() {
        return Set.of(TransportKind.TCP);
    }
}
