package org.lockstep.collective;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
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

    /**
     * Queues {@code body}; it runs even after {@link #close}, if that came later.
     *
     * @throws java.util.concurrent.RejectedExecutionException after {@link #close}
     */
    synchronized Work submit(Runnable body) {
        Ticket ticket = new Ticket(body);
        thread.execute(ticket);
        last = ticket; // not before: what was refused is never over
        return ticket;
    }

    /** Whether nothing is queued or under way; true in the queue's own thread, for which nothing is to be waited for. */
    boolean isIdle() {
        Ticket ticket = last;
        // What is over may have queued another before it was: then that is the last by now.
        return ticket == null || (ticket.isOver() && ticket == last) || isWorker();
    }

    /**
     * Waits until {@link #isIdle}, for at most {@code limit}; whether it is. Work that is queued meanwhile, by work, is
     * waited for too.
     *
     * @throws InterruptedException if the waiting thread is interrupted
     */
    boolean awaitIdle(Duration limit) throws InterruptedException {
        long end = System.nanoTime() + limit.toNanos();
        while (!isIdle()) {
            Ticket ticket = last;
            if (ticket != null && !ticket.over.await(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                return isIdle();
            }
        }
        return true;
    }

    /** Whether the calling thread is the one that works off the queue. */
    boolean isWorker() {
        return worker == Thread.currentThread();
    }

    /** Refuses further work, and lets the thread end after what is queued. Idempotent. */
    void close() {
        thread.shutdown();
    }

    private final class Ticket implements Work, Runnable {
        private final CompletableFuture<Void> future = new CompletableFuture<>();
        private final CountDownLatch done = new CountDownLatch(1);
        private final CountDownLatch over = new CountDownLatch(1); // after what users hung on the future, too
        private @Nullable Runnable body; // dropped when done, with the buffers it holds
        private volatile @Nullable Throwable failure;
        private volatile boolean started;
        private volatile long start;
        private volatile long end;

        Ticket(Runnable body) {
            this.body = body;
        }

        @Override
        public void run() {
            Runnable todo = body;
            body = null;
            start = System.nanoTime();
            started = true;
            try {
                if (todo != null) {
                    todo.run();
                }
            } catch (Throwable thrown) { // whatever it is, who awaits gets it
                failure = thrown;
            } finally {
                todo = null;
                end = System.nanoTime();
                done.countDown();
                tell();
            }
        }

        private void tell() {
            try {
                Throwable thrown = failure;
                if (thrown == null) {
                    future.complete(null);
                } else {
                    future.completeExceptionally(thrown);
                }
            } finally {
                over.countDown();
            }
        }

        boolean isOver() {
            return over.getCount() == 0;
        }

        @Override
        public boolean isDone() {
            return done.getCount() == 0;
        }

        @Override
        public void await() {
            requireNotOwn();
            try {
                done.await();
            } catch (InterruptedException interrupted) {
                throw interrupted(interrupted);
            }
            rethrow();
        }

        @Override
        public void await(Duration limit) {
            requireNotOwn();
            try {
                if (!done.await(Arguments.deadline(limit).toNanos(), TimeUnit.NANOSECONDS)) {
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

        /** The thread that has to do the work would wait for itself, for ever. */
        private void requireNotOwn() {
            if (isWorker() && !isDone()) {
                throw new IllegalStateException("queued operations cannot await work of their own communicator");
            }
        }

        private static CommunicatorException interrupted(InterruptedException cause) {
            Thread.currentThread().interrupt();
            return new CommunicatorException(
                    LockstepException.report(ErrorCode.ABORTED, "the thread that awaits work was interrupted")
                            .cause(cause));
        }

        private void rethrow() {
            Throwable thrown = failure;
            if (thrown instanceof RuntimeException unchecked) {
                throw unchecked;
            }
            if (thrown instanceof Error error) {
                throw error;
            }
            if (thrown != null) {
                throw new CompletionException(thrown); // a checked one, as other languages throw them
            }
        }

        @Override
        public Duration duration() {
            if (!started) {
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
