package org.lockstep.rendezvous;

import java.util.List;

/**
 * One party's door to the one meeting of an attempt.
 *
 * <p>Used by the party's own thread. The index is the scheduler's number (Spark: the partition), not a rank: ranks follow
 * from what the parties tell each other.
 */
public interface Rendezvous {
    /** This party's number, 0 to {@link #size()} - 1. */
    int index();

    int size();

    /** What the parties of this meeting inside this JVM have in common. */
    Venue venue();

    /**
     * Gives {@code record} to all parties and returns everybody's, by index. To be called exactly once.
     *
     * @return {@link #size()} records; what they contain is not checked here
     * @throws RendezvousException if a party failed before it came, or the deadline passed
     * @throws IllegalStateException if called a second time
     */
    List<String> allGather(String record);
}
