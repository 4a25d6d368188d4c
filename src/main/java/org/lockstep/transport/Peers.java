package org.lockstep.transport;

/** Who a rank is, for errors: its host, its partition. */
@FunctionalInterface
public interface Peers {
    String describe(int rank);
}
