package org.lockstep.cpu;

import org.lockstep.collective.CommunicatorContract;
import org.lockstep.rendezvous.LocalWorld;

/** Every rank in a JVM of its own, as far as it can tell. */
class TcpCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues(size);
    }
}
