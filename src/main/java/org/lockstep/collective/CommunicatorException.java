package org.lockstep.collective;

import org.lockstep.LockstepException;

/**
 * A collective operation failed: the ranks disagreed, a peer is lost, the deadline passed, or somebody aborted.
 *
 * <p>The communicator that threw it is dead, and so are its siblings of the same rank; connect anew in a new attempt.
 */
public final class CommunicatorException extends LockstepException {
    private static final long serialVersionUID = 1;

    public CommunicatorException(Report report) {
        super(report);
    }
}
