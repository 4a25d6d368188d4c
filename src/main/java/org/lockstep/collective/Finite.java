package org.lockstep.collective;

import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.HostBuffer;

/** The search for what is not a number: whose it was at first, which no rank can tell once it was added up. */
final class Finite {
    private Finite() {}

    /**
     * Looks through what a rank gives to an operation; that of a device is copied for it.
     *
     * @throws LockstepException NOT_FINITE for the first NaN or infinity
     */
    static void require(String operation, Communicator here, Buffer given) {
        if (!given.type().isFloating()) {
            return;
        }
        HostBuffer data = given.toHost();
        for (int i = 0; i < data.size(); i++) {
            double element = data.get(i);
            if (!Double.isFinite(element)) {
                int rank = here.group().rank(here.rankInGroup());
                throw LockstepException.report(
                                ErrorCode.NOT_FINITE,
                                operation + " in " + here.group() + ": element " + i + " of the " + data.size() + " "
                                        + data.type() + " of rank " + rank + " is " + element)
                        .culprit("rank " + rank + ", before anything was sent")
                        .exception();
            }
        }
    }
}
