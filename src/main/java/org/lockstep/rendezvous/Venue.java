package org.lockstep.rendezvous;

import java.io.Serial;
import java.io.Serializable;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

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

    /** Made when first asked for, so that any serialiser's copy, constructed or not, begins without. */
    private transient @Nullable Contents contents;

    private record Contents(UUID id, ConcurrentMap<Object, Object> things) {}

    private synchronized Contents contents() {
        if (contents == null) {
            contents = new Contents(UUID.randomUUID(), new ConcurrentHashMap<>());
        }
        return contents;
    }

    /** Names this instance. */
    public UUID id() {
        return contents().id();
    }

    /** The thing under {@code key}, made by whoever asks first. */
    public <T> T shared(Object key, Class<T> type, Supplier<? extends T> make) {
        return type.cast(contents().things().computeIfAbsent(key, k -> make.get()));
    }

    /** Forgets the thing under {@code key}. */
    public void forget(Object key) {
        contents().things().remove(key);
    }

    /** Whether nothing is shared here: all who came have left. */
    public boolean isEmpty() {
        return contents().things().isEmpty();
    }
}
