package org.lockstep.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * The threads that compute together: the caller and workers that live as long as the team.
 *
 * <p>A job is cut into parts, and whoever is free takes the next, so a worker that the machine has no core for holds nobody
 * up. Workers spin for some {@value #SPIN_NANOS} ns after a job, for the next kernel of a step comes within microseconds, and
 * then sleep; on a machine whose ranks outnumber its cores they sleep at once. Nothing is allocated for a job. One caller at a
 * time; {@link #close} after its last job.
 */
final class Team implements AutoCloseable {
    /** Elements that are read and written, with a little to compute, in tens of microseconds: as much as pays to wake a worker for. */
    static final int PART = 1 << 15;

    private static final long SPIN_NANOS = 50_000;
    private static final int LOOK = 32; // turns of spinning between two looks at the clock
    private static final long EXHAUSTED = 0x7fffffffL; // no part has this number

    /** Work in parts that may be done in any order, on any thread. */
    interface Job {
        /**
         * Does one part.
         *
         * @param worker below {@link Team#size}; each worker does one part at a time
         */
        void run(int part, int worker);
    }

    private volatile boolean spins;
    private final Thread[] workers;
    private final AtomicIntegerArray asleep;
    /** The number of the job, above the number of the next part of it: one word, so that nobody takes a part of the next job. */
    private final AtomicLong ticket = new AtomicLong(EXHAUSTED);

    private final AtomicInteger done = new AtomicInteger();
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private volatile @Nullable Job job;
    private volatile int parts;
    private volatile boolean closed;

    private Team(int size, boolean spins) {
        this.spins = spins;
        this.workers = new Thread[size - 1];
        this.asleep = new AtomicIntegerArray(size);
    }

    /**
     * A team of so many threads, the caller's included.
     *
     * @param spins whether there is a core for each of them
     */
    static Team of(int size, boolean spins) {
        Team team = new Team(size, spins);
        for (int i = 0; i < size - 1; i++) {
            int worker = i + 1;
            Thread thread = new Thread(() -> team.work(worker), "lockstep-cpu-" + worker);
            thread.setDaemon(true);
            team.workers[i] = thread;
            thread.start();
        }
        return team;
    }

    /** From now on workers sleep as soon as they have nothing to do: others want their cores. */
    void sleepAtOnce() {
        spins = false;
    }

    boolean spins() {
        return spins;
    }

    /** Threads, the caller's included. */
    int size() {
        return workers.length + 1;
    }

    /**
     * Does all parts of a job, and returns when they are done.
     *
     * @throws RuntimeException or an error: the first that a part threw, on whatever thread
     */
    void run(Job work, int count) {
        if (workers.length == 0 || count <= 1) {
            for (int part = 0; part < count; part++) {
                work.run(part, 0);
            }
            return;
        }
        if (closed) {
            throw new IllegalStateException("the kernels are closed");
        }
        long number = ((ticket.get() >>> 32) + 1) << 32;
        job = work;
        parts = count;
        done.set(0);
        ticket.set(number);
        wake(Math.min(workers.length, count - 1));
        takeParts(0);
        for (int turn = 1; done.get() < count; turn++) {
            rest(turn);
        }
        ticket.set(number | EXHAUSTED);
        job = null;
        Throwable thrown = failure.getAndSet(null);
        if (thrown != null) {
            rethrow(thrown);
        }
    }

    private static void rethrow(Throwable thrown) {
        if (thrown instanceof Error error) {
            throw error;
        }
        if (thrown instanceof RuntimeException exception) {
            throw exception;
        }
        throw new IllegalStateException(thrown);
    }

    private void wake(int most) {
        for (int worker = 1; worker <= most; worker++) {
            if (asleep.get(worker) != 0) {
                LockSupport.unpark(workers[worker - 1]);
            }
        }
    }

    /** Takes parts until there are none left; the ticket that said so. */
    private long takeParts(int worker) {
        while (true) {
            long next = ticket.get();
            int part = (int) next;
            Job work = job;
            if (part >= parts || work == null) {
                return next;
            }
            if (!ticket.compareAndSet(next, next + 1)) {
                continue; // and what was read may belong to two jobs
            }
            try {
                if (failure.get() == null) {
                    work.run(part, worker);
                }
            } catch (Throwable thrown) {
                failure.compareAndSet(null, thrown);
            } finally {
                done.incrementAndGet();
            }
        }
    }

    private void work(int worker) {
        while (!closed) {
            long seen = takeParts(worker);
            if (spins && appears(seen)) {
                continue;
            }
            asleep.set(worker, 1);
            while (!closed && !isNew(seen)) {
                LockSupport.park(this);
            }
            asleep.set(worker, 0);
        }
    }

    /** Whether there is another job than that of a ticket, with parts to take. */
    private boolean isNew(long seen) {
        return ticket.get() >>> 32 != seen >>> 32;
    }

    private boolean appears(long seen) {
        long until = System.nanoTime() + SPIN_NANOS;
        for (int turn = 1; !isNew(seen); turn++) {
            Thread.onSpinWait();
            if (closed || (turn % LOOK == 0 && System.nanoTime() - until > 0)) {
                return false;
            }
        }
        return true;
    }

    /** While others do the last parts. */
    @SuppressWarnings("ThreadPriorityCheck") // a hint: what is waited for is checked again either way
    private void rest(int turn) {
        if (spins && turn % 256 != 0) {
            Thread.onSpinWait();
        } else {
            Thread.yield();
        }
    }

    /** Ends the workers, and returns when they are gone. Idempotent; from any thread but a worker. */
    @Override
    public void close() {
        closed = true;
        boolean interrupted = false;
        for (Thread worker : workers) {
            LockSupport.unpark(worker);
        }
        for (Thread worker : workers) {
            while (worker.isAlive()) {
                try {
                    worker.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
