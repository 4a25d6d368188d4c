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
     * Returns when the operations are complete; their own deadlines bound it. What made them fail is thrown as it is,
     * whatever it is; a checked exception in a {@link java.util.concurrent.CompletionException}.
     *
     * @throws CommunicatorException the failure of the operations, or ABORTED if the waiting thread is interrupted
     * @throws IllegalStateException in the thread that would have to do the work first: queued operations of the same
     *     communicator
     */
    void await();

    /**
     * As {@link #await()}, for at most {@code limit}, which must be positive.
     *
     * @throws CommunicatorException also COLLECTIVE_TIMEOUT if they are not complete by then; they go on until their own
     *     deadlines, and may be awaited again
     */
    void await(Duration limit);

    /** Time from the start of the first of the operations to the end of the last, or until now; zero before the start. */
    Duration duration();

    /** Why they failed; empty while they are under way and when all went well. */
    Optional<Throwable> failure();

    /**
     * A view that completes when the operations do, with their failure if they fail. Cancelling it ends nothing. What is
     * hung on it runs in the communicator's thread, before the next operation of the communicator.
     */
    CompletableFuture<Void> future();
}
