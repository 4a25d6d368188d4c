package org.lockstep.collective;

import java.time.Duration;
import java.util.Optional;
import org.lockstep.topology.ProcessGroup;

/** What makes the groups that a backend connects in host memory carry buffers of a device too: one to a rank. */
@FunctionalInterface
public interface Carriers {
    /**
     * The carrier of a group, called on all its ranks at the same time, for one group after the other in the order of
     * {@link GroupPlan}. What it throws ends the world.
     *
     * @param me the rank in group
     * @param host moves what is in host memory, also here
     * @param life of the group
     * @param tag of this very step, for what the ranks tell each other by {@code host}
     */
    Carrier connect(ProcessGroup group, int me, Carrier host, Life life, OperationTag tag);

    /** The life of a group, as a carrier whose operations fail after they were called has a part in it. Thread-safe. */
    interface Life {
        /** Throws the first cause if the group is dead. */
        void requireAlive(Object operation);

        /**
         * What the ranks tell each other from here on in this step of connecting them, which has waited for something else: errors call
         * it so, and it may take so long in all. By the thread in that step.
         */
        void begin(Object told, Duration limit);

        /** Why the group is dead, if it is. */
        Optional<FirstCause> firstCause();

        /**
         * Ends the world because of an operation that was called before: with what the ranks say to each other about it,
         * where they differ or one does not come, else with {@code failure}.
         *
         * @param asking how long to ask the others at most, who can be expected to have failed too, or not to have come; empty
         *     not to ask
         * @return the first cause, to be thrown
         */
        CommunicatorException fail(OperationTag tag, Throwable failure, Optional<Duration> asking);
    }
}
