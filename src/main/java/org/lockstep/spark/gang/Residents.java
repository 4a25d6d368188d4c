package org.lockstep.spark.gang;

import java.io.Serial;
import java.io.Serializable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.lockstep.rendezvous.Venue;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A stage's place in one JVM: where its ranks meet, and where they wait for the next stage of the same {@code Llm}.
 *
 * <p>Travels as a broadcast, so that there is one to a JVM and no static is needed; Spark closes it when it drops the
 * broadcast from memory, for whatever reason. Ranks that wait end by themselves when nobody took them for a while, and soon
 * after one of their world has failed anywhere: a thread looks after them for as long as there are any. Whoever is ended
 * here aborts, so that the ranks in other JVMs end too.
 *
 * <p>Thread-safe. A rank that is taken has happened after it was parked: its new thread sees all that the old one did.
 */
public final class Residents implements Serializable, AutoCloseable {
    @Serial
    private static final long serialVersionUID = 1;

    private static final Logger LOG = LoggerFactory.getLogger(Residents.class);
    private static final long LOOK_MILLIS = 500;
    private static final Duration LONGEST = Duration.ofDays(10_000); // what fits into nanoseconds

    private final Venue venue = new Venue();

    /** Made when first needed, so that any serialiser's copy, constructed or not, begins without. */
    private transient @Nullable List<LiveRank> waiting;

    private transient @Nullable AbortWatchdog watchdog; // likewise

    private transient long deadline; // on the clock of System.nanoTime
    private transient boolean watched;

    /** Where the ranks of this JVM meet. */
    Venue venue() {
        return venue;
    }

    /** Who watches the tasks of this JVM. */
    synchronized AbortWatchdog watchdog() {
        AbortWatchdog made = watchdog;
        if (made == null) {
            made = new AbortWatchdog();
            watchdog = made;
        }
        return made;
    }

    /** One of the ranks that wait, which is the caller's from now on. */
    synchronized Optional<LiveRank> take() {
        List<LiveRank> ranks = waiting();
        while (!ranks.isEmpty()) {
            LiveRank last = ranks.remove(ranks.size() - 1);
            if (last.isAlive()) {
                return Optional.of(last);
            }
            each(List.of(last), LiveRank::close);
        }
        return Optional.empty();
    }

    /**
     * Lets a rank wait here, for so long; it is not the caller's any more.
     *
     * @param idle more than zero
     */
    synchronized void park(LiveRank rank, Duration idle) {
        waiting().add(rank);
        deadline = System.nanoTime() + (idle.compareTo(LONGEST) > 0 ? LONGEST : idle).toNanos();
        if (!watched) {
            watched = true;
            Thread thread = new Thread(this::watch, "lockstep-residents");
            thread.setDaemon(true);
            thread.start();
        }
    }

    /** Looks at those that wait now and then, until nobody does. */
    private synchronized void watch() {
        try {
            while (!waiting().isEmpty()) {
                long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
                if (left < 0) {
                    end(waiting(), "idle for too long");
                } else {
                    wait(Math.min(left + 1, LOOK_MILLIS));
                    sweep();
                }
            }
        } catch (InterruptedException e) {
            end(waiting(), "interrupted");
        } finally {
            watched = false;
        }
    }

    /** Ends the ranks that wait and whose world has failed. */
    synchronized void sweep() {
        List<LiveRank> dead = waiting().stream().filter(rank -> !rank.isAlive()).toList();
        waiting().removeAll(dead);
        each(dead, LiveRank::close);
    }

    /** Ends the ranks that wait; the place itself remains good. */
    @Override
    public synchronized void close() {
        end(waiting(), "no longer wanted");
        notifyAll();
    }

    private static void end(List<LiveRank> ranks, String why) {
        List<LiveRank> all = new ArrayList<>(ranks);
        ranks.clear();
        IllegalStateException cause = new IllegalStateException("the ranks that stayed were ended: " + why);
        each(all, rank -> rank.abort(cause));
        each(all, LiveRank::close);
    }

    /** Whatever one of them fails with, the others end too. */
    private static void each(List<LiveRank> ranks, Consumer<LiveRank> ending) {
        for (LiveRank rank : ranks) {
            try {
                ending.accept(rank);
            } catch (RuntimeException failure) {
                LOG.warn("a rank that stayed did not end in order", failure);
            }
        }
    }

    private List<LiveRank> waiting() {
        if (waiting == null) {
            waiting = new ArrayList<>();
        }
        return waiting;
    }
}
