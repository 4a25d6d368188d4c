package org.lockstep.rendezvous;

import org.lockstep.LockstepException;

/** The meeting did not come about: somebody is missing, failed, or said what cannot be true. */
public final class RendezvousException extends LockstepException {
    private static final long serialVersionUID = 1;

    public RendezvousException(Report report) {
        super(report);
    }
}
