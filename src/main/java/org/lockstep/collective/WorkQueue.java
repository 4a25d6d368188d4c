package org.lockstep.collective;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * What one communicator still has to do, and the one thread that does it, in order.
 *
 * <p>The thread is made by the first work and ends when there was none for a while, so a communicator that is never closed
 * keeps none. Thread-safe.
 */
final class WorkQueue {
    private static final long IDLE_MILLIS = 100;

    private final ThreadPoolExecutor thread;
    private volatile @Nullable Thread worker;
    private volatile @Nullable Ticket last;

    WorkQueue(String name) {
        thread = new ThreadPoolExecutor(1, 1, IDLE_MILLIS, TimeUnit.MILLISECONDS, new LinkedBlockingQueue<>(), body -> {
            Thread made = new Thread(body, name);
            made.setDaemon(true);
            worker = made;
            return made;
        });
        thread.allowCoreThreadTimeOut(true);
    }

    /** Queues {@code body}; runs it even after {@link #close}, if that came later. */
    synchronized Work submit(Runnable body) {
        Ticket ticket = new Ticket(body);
        last = ticket;
        thread.execute(ticket);
        return ticket;
    }

    /**
     * Returns when all that was queued is done, well or badly; at once in the queue's own thread.
     *
     * @throws InterruptedException if the waiting thread is interrupted
     */
    void drain() throws InterruptedException {
        Ticket ticket = last;
        if (ticket != null && !isWorker()) {
            ticket.ended.await();
        }
    }

    /** Whether the calling thread is the one that works off the queue. */
    boolean isWorker() {
        return worker == Thread.currentThread();
    }

    /** Lets the thread end after what is queued. Idempotent. */
    void close() {
        thread.shutdown();
    }

    private static final class Ticket implements Work, Runnable {
        private final Runnable body;
        private final CompletableFuture<Void> future = new CompletableFuture<>();
        private final CountDownLatch ended = new CountDownLatch(1);
        private volatile @Nullable Throwable failure;
        private volatile long start;
        private volatile long end;

        Ticket(Runnable body) {
            this.body = body;
        }

        @Override
        public void run() {
            start = System.nanoTime();
            try {
                body.run();
            } catch (Throwable thrown) { // whatever it is, who awaits gets it
                failure = thrown;
            }
            end = System.nanoTime();
            ended.countDown();
            Throwable thrown = failure;
            if (thrown == null) {
                future.complete(null);
            } else {
                future.completeExceptionally(thrown);
            }
        }

        @Override
        public boolean isDone() {
            return ended.getCount() == 0;
        }

        @Override
        public void await() {
            try {
                ended.await();
            } catch (InterruptedException interrupted) {
                throw interrupted(interrupted);
            }
            rethrow();
        }

        @Override
        public void await(Duration limit) {
            try {
                if (!ended.await(limit.toNanos(), TimeUnit.NANOSECONDS)) {
                    throw new CommunicatorException(LockstepException.report(
                                    ErrorCode.COLLECTIVE_TIMEOUT,
                                    "work not complete in " + limit.toMillis() + " ms; it goes on")
                            .attempt("await it again, or for longer"));
                }
            } catch (InterruptedException interrupted) {
                throw interrupted(interrupted);
            }
            rethrow();
        }

        private static CommunicatorException interrupted(InterruptedException cause) {
            Thread.currentThread().interrupt();
            return new CommunicatorException(
                    LockstepException.report(ErrorCode.ABORTED, "the thread that awaits work was interrupted")
                            .cause(cause));
        }

        private void rethrow() {
            Throwable thrown = failure;
            if (thrown instanceof CommunicatorException known) {
                // A fresh one, for its stack is the waiter's and several may wait; the first is its cause.
                throw new CommunicatorException(
                        LockstepException.report(known.code(), known.summary()).cause(known));
            }
            if (thrown instanceof RuntimeException unchecked) {
                throw unchecked;
            }
            if (thrown instanceof Error error) {
                throw error;
            }
        }

        @Override
        public Duration duration() {
            if (start == 0) {
                return Duration.ZERO;
            }
            return Duration.ofNanos((isDone() ? end : System.nanoTime()) - start);
        }

        @Override
        public Optional<Throwable> failure() {
            return isDone() ? Optional.ofNullable(failure) : Optional.empty();
        }

        @Override
        public CompletableFuture<Void> future() {
            return future.copy();
        }
    }
}
