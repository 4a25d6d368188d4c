package org.lockstep.cpu;

import org.lockstep.collective.OperationTag;

/** A message as who receives it calls it. */
record Expected(OperationTag tag, int peer) {
    @Override
    public String toString() {
        return tag.asExpected(peer);
    }
}
