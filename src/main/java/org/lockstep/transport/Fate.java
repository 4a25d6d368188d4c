package org.lockstep.transport;

import java.util.List;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.lockstep.rendezvous.Venue;
import org.lockstep.topology.ProcessGroup;

/**
 * What all communicators of one attempt in one JVM share: they live and die together. Thread-safe.
 *
 * <p>The first verdict stays. Who has a part in the attempt is told of it at once, in the thread that seals: the
 * communicators, which free who waits in them, and the control connection, which tells the other JVMs.
 */
public final class Fate {
    private final Venue venue;
    private final Key key;
    private final int members;
    private final AtomicReference<@Nullable Verdict> verdict = new AtomicReference<>();
    private final List<Runnable> listeners = new CopyOnWriteArrayList<>();
    private final AtomicInteger entered = new AtomicInteger();
    private final AtomicInteger gone = new AtomicInteger();
    private final Queue<Runnable> ends = new ConcurrentLinkedQueue<>();
    private final ConcurrentMap<List<Integer>, Board> boards = new ConcurrentHashMap<>(); // by ranks
    private final Switchboard switchboard;
    private final Queue<Doorkeeper> doorkeepers = new ConcurrentLinkedQueue<>();
    private volatile Runnable watcher = () -> {};

    private record Key(UUID attempt) {}

    private Fate(Venue venue, Key key, int members) {
        this.venue = venue;
        this.key = key;
        this.members = members;
        this.switchboard = new Switchboard(this);
    }

    /** A rank enters the fate of an attempt that has {@code members} of them in this venue; the first one makes it. */
    static Fate of(Venue venue, UUID attempt, int members) {
        Key key = new Key(attempt);
        Fate fate = venue.shared(key, Fate.class, () -> new Fate(venue, key, members));
        fate.entered.incrementAndGet();
        return fate;
    }

    /** Where the threads of a group meet, made by whoever comes first. */
    Board board(ProcessGroup group) {
        return boards.computeIfAbsent(List.copyOf(group.ranks()), ranks -> new Board(ranks.size()));
    }

    /** Where the calls of this JVM's ranks meet. */
    Switchboard switchboard() {
        return switchboard;
    }

    /** Whom to wake when there is something to do for who watches over this JVM: {@link Control}. */
    void watchedBy(Runnable wake) {
        watcher = wake;
        wake.run();
    }

    /** There is something to do for who watches. */
    void hurry() {
        watcher.run();
    }

    /** A rank's door is to be kept from now on. */
    void keep(Doorkeeper doorkeeper) {
        doorkeepers.add(doorkeeper);
        hurry();
    }

    /** Who is to keep a door from now on; null if there is nobody new. */
    @Nullable
    Doorkeeper nextDoorkeeper() {
        return doorkeepers.poll();
    }

    /** Calls {@code end} when all ranks have left, or all that came where the fate is sealed. It does not throw. */
    void atEnd(Runnable end) {
        ends.add(end);
    }

    /** Calls {@code listener} when the fate is sealed, at once if it is. It does not throw. */
    public void listen(Runnable listener) {
        listeners.add(listener);
        if (verdict.get() != null) {
            listener.run();
        }
    }

    /** Undoes {@link #listen}. */
    public void forget(Runnable listener) {
        listeners.remove(listener);
    }

    public @Nullable Verdict verdict() {
        return verdict.get();
    }

    /** Seals the fate, unless it was; the verdict that holds. */
    public Verdict seal(Verdict candidate) {
        if (verdict.compareAndSet(null, candidate)) {
            listeners.forEach(Runnable::run);
            if (gone.get() == entered.get()) {
                end(); // all who came left in order; now it is known that no more will come
            }
            return candidate;
        }
        Verdict first = verdict.get();
        return first == null ? candidate : first;
    }

    /** A rank has no communicator any more; the last one clears the place. To be called once by each. */
    void leave() {
        int left = gone.incrementAndGet();
        if (left == members) {
            venue.forget(key);
        }
        if (left == members || (verdict.get() != null && left == entered.get())) {
            end();
        }
    }

    private void end() {
        for (Runnable end = ends.poll(); end != null; end = ends.poll()) {
            end.run();
        }
    }
}
