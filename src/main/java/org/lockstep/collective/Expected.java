package org.lockstep.collective;

/** A message as who receives it calls it; only an error needs the words. */
public record Expected(OperationTag tag, int peer) {
    @Override
    public String toString() {
        return tag.asExpected(peer);
    }
}
