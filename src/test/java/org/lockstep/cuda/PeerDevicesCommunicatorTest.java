package org.lockstep.cuda;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.lockstep.rendezvous.Rendezvous;

/** The same over three devices that reach each other, of which some are shared. */
class PeerDevicesCommunicatorTest extends PeerCommunicatorTest {
    private static final int DEVICES = 3;

    @BeforeEach
    void show() {
        StandIn.show(DEVICES);
    }

    @AfterEach
    void hide() {
        StandIn.show(1);
    }

    @Override
    VisibleDevice device(Rendezvous rendezvous) {
        return StandIn.devices().get(rendezvous.index() % StandIn.devices().size());
    }
}
