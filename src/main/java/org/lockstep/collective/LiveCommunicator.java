package org.lockstep.collective;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * The life of a communicator: who may be inside, what is queued, how it ends. What it does meanwhile is
 * {@link GuardedCommunicator}'s business.
 *
 * <p>One thread is inside at a time. It comes in after all that is queued is done, unless it is the queue's own. From the
 * call of {@link #close} on only the queue's thread comes in, and nobody once the queue is empty.
 */
abstract class LiveCommunicator extends Operations {
    /** How long a wait for queued work may overlook that the communicator died: its code need not notice. */
    private static final Duration LOOK = Duration.ofMillis(100);

    private final AtomicReference<@Nullable Thread> user = new AtomicReference<>();
    private final AtomicReference<@Nullable WorkQueue> queue = new AtomicReference<>();
    private final AtomicReference<Closing> closing = new AtomicReference<>(Closing.NOT_YET);
    private final Admission admission = new Admission();
    private OperationTerms terms = OperationTerms.DEFAULT; // of the operation of the admitted thread
    private volatile boolean over;
    private long queuedAt; // of the work that the queue's thread does; 0 where it does none

    /** Whether it was closed; what becomes of the peers afterwards is nothing to who left in peace. */
    private enum Closing {
        NOT_YET,
        ALIVE,
        DEAD
    }

    /** Whether this communicator did not fail so far. */
    protected abstract boolean isAlive();

    /** Throws if this communicator failed before. */
    protected abstract void requireAlive(Object operation);

    /** Throws what this rank has found to have failed, of which it asks the others before it is known what failed first. */
    protected void requireNothingFound(Object operation) {}

    /** Called once, by the first {@link #close} that finds no operation under way; the admitted thread is the caller's. */
    protected abstract void doClose();

    /** What {@link #abort} does besides letting the queue end. */
    protected abstract void doAbort(Throwable cause);

    /** What the queue's thread is to run for {@code operations} that are queued by this call. */
    protected Runnable apart(Runnable operations) {
        return operations;
    }

    /** Called after each operation, when the next thread may be admitted. */
    protected void onLeave() {}

    @Override
    public final Work async(Consumer<? super Communicator> operations) {
        return async(operations, this);
    }

    /** Queues operations that are called on {@code here}: this communicator, or a view of it. */
    final Work async(Consumer<? super Communicator> operations, Communicator here) {
        requireUsable("async");
        WorkQueue mine = queue.get();
        if (mine == null) {
            WorkQueue made = new WorkQueue("lockstep-" + group() + "-" + rankInGroup());
            WorkQueue other = queue.compareAndExchange(null, made);
            mine = other == null ? made : other;
        }
        long now = System.nanoTime();
        Runnable body = apart(() -> operations.accept(here));
        try {
            return mine.submit(() -> {
                requireUsable("queued work"); // the communicator may have died since
                queuedAt = now;
                try {
                    body.run();
                } finally {
                    queuedAt = 0;
                }
            });
        } catch (RejectedExecutionException ended) {
            requireUsable("async");
            throw ended;
        }
    }

    @Override
    public final void close() {
        if (!closing.compareAndSet(Closing.NOT_YET, isAlive() ? Closing.ALIVE : Closing.DEAD)) {
            return;
        }
        WorkQueue pending = queue.get();
        if (pending != null) {
            try {
                awaitQueued(pending, "close");
            } catch (CommunicatorException dead) {
                // Who awaits the queued work is told; here all that is left is to free what there is.
            }
            pending.close();
        }
        if (tryEnter()) {
            try {
                over = true;
                doClose();
            } finally {
                leave();
            }
        } else {
            // Closing under an operation of another thread: orderly is no longer possible.
            closing.set(Closing.DEAD);
            abort(new IllegalStateException(
                    "closed by " + Thread.currentThread().getName() + " during an operation"));
        }
    }

    @Override
    public final void abort(Throwable cause) {
        doAbort(cause);
        WorkQueue pending = queue.get();
        if (pending != null) {
            pending.close();
        }
    }

    /** When the operation that the admitted thread performs was queued; 0 if it was not. */
    final long queuedAt() {
        return queuedAt;
    }

    /** Whether the calling thread is the admitted one. */
    protected final boolean isInside() {
        return user.get() == Thread.currentThread();
    }

    /** Admits the calling thread unless one is inside. */
    protected final boolean tryEnter() {
        return user.compareAndSet(null, Thread.currentThread());
    }

    /** Lets the calling thread, which was admitted, out. */
    protected final void leave() {
        user.set(null);
        onLeave();
    }

    /**
     * Admits the calling thread, after what is queued; it must {@link #leave}.
     *
     * @param bytes that its operation moves, as far as that is known
     * @return how long that may take
     * @throws CommunicatorException CONCURRENT_USE if another thread is inside; if not alive, or closed
     */
    @SuppressWarnings("ReferenceEquality") // equal terms are the same, mostly, and storing a reference costs a fence
    final Duration enter(Object operation, OperationTerms allowed, long bytes) {
        WorkQueue pending = queue.get();
        if (pending != null && !pending.isIdle()) {
            awaitQueued(pending, operation);
        }
        if (!tryEnter()) {
            requireUsable(operation); // who aborts or closes is inside for a moment, which is no concurrent use
            requireNothingFound(operation); // nor is it when ranks are asked what they know of a failure
            throw concurrent(operation);
        }
        try {
            requireUsable(operation);
        } catch (RuntimeException refused) {
            leave();
            throw refused;
        }
        Duration limit = allowed.allowed(bytes);
        admission.begin(limit);
        if (terms != allowed) {
            terms = allowed;
        }
        return limit;
    }

    /** How much longer the operation of the admitted thread may take, which turns out to move so many bytes more. */
    protected final Duration extend(long bytes) {
        Duration more = terms.more(bytes);
        admission.extend(more);
        return more;
    }

    /**
     * Aborts if a thread is in an operation for longer than its deadline and {@code grace}: waits end themselves, but code in
     * it that waits for something else does not. One thread may call it, now and then; what counts is what it saw.
     */
    public final Optional<Overdue> expire(Duration grace) {
        Thread inside = user.get();
        Optional<Duration> deadline = admission.overdue(inside != null, grace);
        if (deadline.isEmpty() || inside == null) {
            return Optional.empty();
        }
        Throwable where = new IllegalStateException("thread '" + inside.getName() + "' is here");
        where.setStackTrace(inside.getStackTrace());
        String operation =
                flight().underWay().stream().findFirst().map(Object::toString).orElse("an operation");
        CommunicatorException failure = new CommunicatorException(LockstepException.report(
                        ErrorCode.COLLECTIVE_TIMEOUT,
                        operation + " in " + group() + " not complete in "
                                + deadline.get().toMillis() / 1000.0 + " s: rank " + group().rank(rankInGroup())
                                + " waits for no peer, but in code of its own")
                .attempt("see the stack below; " + OperationTerms.IF_SLOW)
                .cause(where));
        abort(failure);
        return Optional.of(new Overdue(inside, failure));
    }

    private CommunicatorException concurrent(Object operation) {
        Thread inside = user.get();
        return new CommunicatorException(LockstepException.report(
                        ErrorCode.CONCURRENT_USE,
                        operation + " in " + group() + " by thread '"
                                + Thread.currentThread().getName() + "' during an operation of thread '"
                                + (inside == null ? "that just left" : inside.getName()) + "'")
                .attempt("use a rank's communicators from its own thread only"));
    }

    /** Throws unless the calling thread may begin an operation: the queue's may while {@link #close} waits for it. */
    final void requireUsable(Object operation) {
        Closing how = closing.get();
        boolean past = how != Closing.NOT_YET && (over || !isQueued());
        if (!past || how == Closing.DEAD) {
            requireAlive(operation);
        }
        if (past) {
            throw new CommunicatorException(LockstepException.report(
                    ErrorCode.COMMUNICATOR_CLOSED, operation + " in " + group() + " after close"));
        }
    }

    private boolean isQueued() {
        WorkQueue pending = queue.get();
        return pending != null && pending.isWorker();
    }

    private void awaitQueued(WorkQueue pending, Object operation) {
        try {
            while (!pending.awaitIdle(LOOK)) {
                requireAlive(operation);
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            abort(new IllegalStateException("its thread was interrupted while it waited for queued work", interrupted));
            requireAlive(operation);
        }
    }
}
