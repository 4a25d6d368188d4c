package org.lockstep.transport;

import java.util.List;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.lockstep.rendezvous.Venue;

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
    private final AtomicInteger gone = new AtomicInteger();

    private record Key(UUID attempt) {}

    private Fate(Venue venue, Key key, int members) {
        this.venue = venue;
        this.key = key;
        this.members = members;
    }

    /** The fate of an attempt that has {@code members} ranks in this venue, made by whoever comes first. */
    static Fate of(Venue venue, UUID attempt, int members) {
        Key key = new Key(attempt);
        return venue.shared(key, Fate.class, () -> new Fate(venue, key, members));
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
            return candidate;
        }
        Verdict first = verdict.get();
        return first == null ? candidate : first;
    }

    /** A rank has no communicator any more; the last one clears the place. To be called once by each. */
    void leave() {
        if (gone.incrementAndGet() == members) {
            venue.forget(key);
        }
    }
}
