package org.lockstep.transport;

import org.lockstep.collective.CommunicatorException;

/** Who takes a connection as soon as it is proven. */
@FunctionalInterface
interface Taker {
    void take(Links.Id id, Links.Proven connection);

    /** Whether it would take one that nobody has to wait for. */
    default boolean expects(Links.Id id) {
        return false;
    }

    /** There will be none. */
    default void fail(Links.Id id, CommunicatorException why) {
        throw why;
    }
}
