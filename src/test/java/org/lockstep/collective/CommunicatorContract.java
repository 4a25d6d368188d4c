package org.lockstep.collective;

import org.junit.jupiter.api.Timeout;
import org.lockstep.rendezvous.LocalWorld;

/** What every communicator must do, whatever carries it: one extends this for each transport. */
@Timeout(60)
public abstract class CommunicatorContract
        implements ReductionContract,
                MovingContract,
                TransferContract,
                FormsContract,
                AsyncContract,
                MisuseContract,
                ArgumentsContract,
                TermsContract,
                WaitingContract,
                EndContract {
    /** Parties in as many pretended JVMs as the transport under test needs. */
    protected abstract LocalWorld world(int size);

    @Override
    public final LocalWorld localWorld(int size) {
        return world(size);
    }
}
