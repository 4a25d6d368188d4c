package org.lockstep.collective;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Operations under way in a communicator: the ticket of {@link Communicator#async}. Thread-safe.
 *
 * <p>Buffers of the operations belong to them until {@link #isDone}.
 */
public interface Work {
    /** Whether the operations ended, well or badly. */
    boolean isDone();

    /**
     * Returns when the operations are complete; their own deadlines bound it.
     *
     * @throws CommunicatorException the failure of the operations, or ABORTED if the waiting thread is interrupted
     */
    void await();

    /**
     * As {@link #await()}, for at most {@code limit}.
     *
     * @throws CommunicatorException also COLLECTIVE_TIMEOUT if they are not complete by then; they go on until their own
     *     deadlines, and may be awaited again
     */
    void await(Duration limit);

    /** Time from the start of the first of the operations to the end of the last, or until now; zero before the start. */
    Duration duration();

    /** Why they failed; empty while they are under way and when all went well. */
    Optional<Throwable> failure();

    /** A view that completes when the operations do, with their failure if they fail. Cancelling it ends nothing. */
    CompletableFuture<Void> future();
}
