package org.lockstep.cpu;

import java.util.Set;
import org.lockstep.collective.CommunicatorContract;
import org.lockstep.collective.TransportKind;
import org.lockstep.collective.WorldSpec;
import org.lockstep.rendezvous.LocalWorld;

/** As over TCP, and nobody can read along. */
class EncryptedCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size).withVenues(size);
    }

    @Override
    public WorldSpec adapted(WorldSpec spec) {
        return spec.withTransports(Set.of(TransportKind.TCP)).withEncryption(true);
    }
}
