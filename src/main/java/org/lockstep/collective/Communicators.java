package org.lockstep.collective;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.lockstep.topology.GroupKind;

/**
 * The live groups of one rank. A group of size 1 is served without any connection.
 *
 * <p>Threads: as {@link Communicator}.
 */
public interface Communicators extends AutoCloseable {
    /**
     * The rank's group of {@code kind}.
     *
     * @throws IllegalStateException if that kind was not among those asked for at the meeting, or the rank is in no such
     *     group
     */
    Communicator of(GroupKind kind);

    default Communicator world() {
        return of(GroupKind.WORLD);
    }

    default Communicator tensor() {
        return of(GroupKind.TENSOR);
    }

    default Communicator pipeline() {
        return of(GroupKind.PIPELINE);
    }

    default Communicator data() {
        return of(GroupKind.DATA);
    }

    default Communicator model() {
        return of(GroupKind.MODEL);
    }

    /** Calls to ranks of the world that compute, in whatever groups they are. */
    ControlPlane controlPlane();

    /** Over all groups of this rank; without calls over the control plane. */
    Traffic traffic();

    /** The last operations in each group of this rank. From any thread, also after the end. */
    List<Flight> flights();

    /**
     * Aborts all groups if a thread is in an operation of one for longer than its deadline and {@code grace}. Waits for peers
     * end themselves at the deadline; this is for what does not look at it. One thread may call it, now and then.
     *
     * @param grace for those that do
     */
    Optional<Overdue> expire(Duration grace);

    /** Whether no rank of the world is known to have failed. From any thread. */
    default boolean isAlive() {
        return firstCause().isEmpty();
    }

    /** Why they are dead, if they are. From any thread. */
    Optional<FirstCause> firstCause();

    /** Closes all groups, in reverse order of making. Idempotent. */
    @Override
    void close();

    /** Aborts all groups at once, from any thread. Idempotent; the first cause stays. */
    void abort(Throwable cause);
}
