package org.lockstep.cli.bench;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** How ranks live. */
public enum Place {
    /** Threads of this JVM. */
    THREADS("lockstep-local", "thread"),

    /** JVMs of this host, by whichever transport is best. */
    JVMS("lockstep-shm", "shared"),

    /** JVMs of this host that use TCP only. */
    TCP("lockstep-tcp", "tcp");

    private final String peer;
    private final String transport;

    Place(String peer, String transport) {
        this.peer = peer;
        this.transport = transport;
    }

    /** The place of a word of {@link #words}. */
    public static Optional<Place> of(String word) {
        return Arrays.stream(values())
                .filter(each -> each.word().equals(word.toLowerCase(Locale.ROOT)))
                .findFirst();
    }

    /** The words of all places. */
    public static List<String> words() {
        return Arrays.stream(values()).map(Place::word).toList();
    }

    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The name under which results are compared with other programs'. */
    public String peer() {
        return peer;
    }

    /** What carries most of the bytes. */
    public String transport() {
        return transport;
    }
}
