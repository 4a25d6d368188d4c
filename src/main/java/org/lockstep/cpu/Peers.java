package org.lockstep.cpu;

/** Who a rank is, for errors: its host, its partition. */
@FunctionalInterface
interface Peers {
    String describe(int rank);
}
