package org.lockstep.rendezvous;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;

/**
 * A whole world inside this JVM: every party is a thread with its own {@link Rendezvous}. For tests and laptops.
 *
 * <p>A party that fails before it came to the meeting releases the others at once. After the first failure the others
 * have {@link #withGrace five seconds} to end by themselves, then they are interrupted, as a cluster would kill them. No
 * thread is left when {@link #run} returns, unless a party ignores its interruption, which the failure then says.
 * Immutable; any number of runs, also at the same time.
 */
public final class LocalWorld {
    private static final Duration LAST_CALL = Duration.ofSeconds(5);

    private final int parties;
    private final int venues;
    private final Duration deadline;
    private final Duration grace;

    private LocalWorld(int parties, int venues, Duration deadline, Duration grace) {
        if (parties < 1) {
            throw new IllegalArgumentException("parties (" + parties + ") must be at least 1");
        }
        if (venues < 1 || venues > parties) {
            throw new IllegalArgumentException(
                    "venues (" + venues + ") must be in 1.." + parties + ", one party in each");
        }
        this.parties = parties;
        this.venues = venues;
        this.deadline = deadline;
        this.grace = grace;
    }

    /** A world of {@code parties} threads in one venue, with a minute to do its work. */
    public static LocalWorld of(int parties) {
        return new LocalWorld(parties, 1, Duration.ofMinutes(1), Duration.ofSeconds(5));
    }

    /** This world over {@code venues} pretended JVMs, dealt round-robin as Spark deals tasks over executors. */
    public LocalWorld withVenues(int venues) {
        return new LocalWorld(parties, venues, deadline, grace);
    }

    /** This world with another limit for a whole {@link #run}, the meeting included. */
    public LocalWorld withDeadline(Duration limit) {
        return new LocalWorld(parties, venues, limit, grace);
    }

    /** This world with another time between the first failure and the interruption of those that still run. */
    public LocalWorld withGrace(Duration limit) {
        return new LocalWorld(parties, venues, deadline, limit);
    }

    /** What one party does; its thread is its own. */
    @FunctionalInterface
    public interface Party<T extends @Nullable Object> {
        T run(Rendezvous rendezvous) throws Exception;
    }

    /**
     * Runs the parties to their end.
     *
     * @return their results by index
     * @throws RuntimeException the first failure by time, as it was thrown, the others suppressed in it; a checked one is
     *     the cause of a {@link RendezvousException}
     * @throws RendezvousException RENDEZVOUS_TIMEOUT if the deadline passed, with the parties that had not ended
     */
    public <T extends @Nullable Object> List<T> run(Party<T> party) {
        LocalMeeting meeting = new LocalMeeting(parties, System.nanoTime() + deadline.toNanos());
        Run<T> run = new Run<>(meeting, parties);
        List<Venue> rooms = new ArrayList<>();
        for (int i = 0; i < venues; i++) {
            rooms.add(new Venue());
        }
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < parties; i++) {
            int index = i;
            LocalMeeting.Door door = meeting.door(i, rooms.get(i % venues));
            Thread thread = new Thread(() -> run.live(index, door, party), "lockstep-party-" + i);
            thread.setDaemon(true);
            threads.add(thread);
        }
        threads.forEach(Thread::start);
        try {
            if (!run.ended.await(deadline.toNanos(), TimeUnit.NANOSECONDS)) {
                run.fail(timeout(threads));
            } else if (run.failed()) {
                joinAll(threads, grace);
            }
        } catch (InterruptedException interrupted) {
            run.fail(new RendezvousException(LockstepException.report(
                            ErrorCode.RENDEZVOUS_FAILED, "the thread that runs the local world was interrupted")
                    .cause(interrupted)));
            Thread.currentThread().interrupt();
        }
        end(threads, run);
        return run.outcome();
    }

    private RendezvousException timeout(List<Thread> threads) {
        List<String> late = new ArrayList<>();
        for (int i = 0; i < threads.size(); i++) {
            if (threads.get(i).isAlive()) {
                late.add(Integer.toString(i));
            }
        }
        return new RendezvousException(LockstepException.report(
                        ErrorCode.RENDEZVOUS_TIMEOUT,
                        "local world of " + parties + " parties did not end in " + LocalMeeting.seconds(deadline)
                                + "; parties " + String.join(",", late) + " still run")
                .attempt("LocalWorld.withDeadline(…) if the work is legitimately slow"));
    }

    /** Interrupts whoever still runs, and does not return before they have ended or ignored it. */
    private static void end(List<Thread> threads, Run<?> run) {
        for (Thread thread : threads) {
            if (thread.isAlive()) {
                thread.interrupt();
            }
        }
        boolean interrupted = Thread.interrupted(); // the joining must not be cut short by an interrupt seen above
        try {
            if (!joinAll(threads, LAST_CALL)) {
                String deaf = String.join(
                        ", ",
                        threads.stream()
                                .filter(Thread::isAlive)
                                .map(Thread::getName)
                                .toList());
                run.fail(new RendezvousException(LockstepException.report(
                        ErrorCode.RENDEZVOUS_FAILED, "threads " + deaf + " ignored their interruption and still run")));
            }
        } catch (InterruptedException again) {
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static boolean joinAll(List<Thread> threads, Duration limit) throws InterruptedException {
        long end = System.nanoTime() + limit.toNanos();
        boolean all = true;
        for (Thread thread : threads) {
            long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            thread.join(Math.max(1, left));
            all &= !thread.isAlive();
        }
        return all;
    }

    /** What the parties' threads report to the one that waits for them. */
    private static final class Run<T extends @Nullable Object> {
        private final LocalMeeting meeting;
        private final int parties;
        private final List<T> results = Collections.synchronizedList(new ArrayList<>());
        private final int[] order;
        private int returned;
        private @Nullable Throwable first;

        /** Open until every party returned, or one failed. */
        final CountDownLatch ended = new CountDownLatch(1);

        Run(LocalMeeting meeting, int parties) {
            this.meeting = meeting;
            this.parties = parties;
            this.order = new int[parties];
        }

        void live(int index, LocalMeeting.Door door, Party<T> party) {
            try {
                T result = party.run(door);
                meeting.leave(index, null);
                synchronized (this) {
                    order[index] = returned++;
                    results.add(result);
                    if (returned == parties) {
                        ended.countDown();
                    }
                }
            } catch (Throwable failure) { // whatever it is, the caller of run gets it
                // The cause first, then those whom it releases: the first failure by time must be the true one.
                fail(failure);
                meeting.leave(index, failure);
            }
        }

        synchronized void fail(Throwable failure) {
            if (first == null) {
                first = failure;
            } else if (first != failure) {
                first.addSuppressed(failure);
            }
            ended.countDown();
        }

        synchronized boolean failed() {
            return first != null;
        }

        synchronized List<T> outcome() {
            if (first instanceof RuntimeException unchecked) {
                throw unchecked;
            }
            if (first instanceof Error error) {
                throw error;
            }
            if (first != null) {
                throw new RendezvousException(
                        LockstepException.report(ErrorCode.RENDEZVOUS_FAILED, "a party failed: " + first)
                                .cause(first));
            }
            List<T> byIndex = new ArrayList<>(parties);
            for (int place : order) {
                byIndex.add(results.get(place));
            }
            return Collections.unmodifiableList(byIndex);
        }
    }
}
