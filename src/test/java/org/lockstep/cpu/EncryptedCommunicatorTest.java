package org.lockstep.cpu;

import java.util.Set;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.collective.TransportKind;
import org.lockstep.rendezvous.LocalWorld;

/** As over TCP, and nobody can read along. */
class EncryptedCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues(size);
    }

    @Override
    public Set<TransportKind> transports() {
        return Set.of(TransportKind.TCP);
    }

    @Override
    public boolean encrypts() {
        return true;
    }
}
