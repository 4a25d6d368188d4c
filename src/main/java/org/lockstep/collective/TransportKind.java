package org.lockstep.collective;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** How two ranks of one world reach each other; the nearest that both share and a {@link WorldSpec} allows is taken. */
public enum TransportKind {
    /** Heap memory between threads of one JVM. */
    THREAD,
    /** Memory-mapped shared memory between JVMs of one host. */
    SHARED,
    /** Sockets: between any two. */
    TCP;

    /**
     * The kind of a name, such as {@code shared}.
     *
     * @throws IllegalArgumentException with the names that there are
     */
    public static TransportKind parse(String name) {
        for (TransportKind kind : values()) {
            if (kind.toString().equals(name.strip().toLowerCase(Locale.ROOT))) {
                return kind;
            }
        }
        throw new IllegalArgumentException("there is no transport '" + name + "': "
                + Arrays.stream(values()).map(TransportKind::toString).collect(Collectors.joining(", ")));
    }

    /** As settings and pictures show it: {@code thread}. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
