package org.lockstep.rendezvous;

import java.io.Serial;
import java.io.Serializable;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Supplier;

/**
 * What the parties of one meeting inside one JVM have in common: the place where threads find each other without a
 * static.
 *
 * <p>Parties that hold the same instance, known by its {@link #id()}, can share heap objects. A copy that travelled to
 * another JVM is another venue with another id: identity is evidence, never assumed from a host name. Thread-safe.
 */
public final class Venue implements Serializable {
    @Serial
    private static final long serialVersionUID = 1;

    private final transient UUID id = UUID.randomUUID();
    private final transient ConcurrentMap<Object, Object> things = new ConcurrentHashMap<>();

    /** A fresh one wherever it arrives. */
    @Serial
    private Object readResolve() {
        return new Venue();
    }

    public UUID id() {
        return id;
    }

    /** The thing under {@code key}, made by whoever asks first. */
    public <T> T shared(Object key, Class<T> type, Supplier<? extends T> make) {
        return type.cast(things.computeIfAbsent(key, k -> make.get()));
    }

    /** Forgets the thing under {@code key}. */
    public void forget(Object key) {
        things.remove(key);
    }
}
