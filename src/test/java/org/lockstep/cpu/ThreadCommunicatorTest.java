package org.lockstep.cpu;

import org.lockstep.collective.CommunicatorContract;
import org.lockstep.rendezvous.LocalWorld;

/** Threads of one JVM; a world of one is a solo communicator. */
class ThreadCommunicatorTest extends CommunicatorContract {
    @Override
    protected LocalWorld world(int size) {
        return LocalWorld.of(size);
    }
}
