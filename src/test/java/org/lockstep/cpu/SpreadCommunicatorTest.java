package org.lockstep.cpu;

import java.util.Set;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.collective.TransportKind;
import org.lockstep.rendezvous.LocalWorld;

/** Several hosts of several ranks each, as far as they can tell. */
class SpreadCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues((size + 1) / 2);
    }

    @Override
    public Set<TransportKind> transports() {
        return Set.of(TransportKind.THREAD, TransportKind.TCP);
    }
}
