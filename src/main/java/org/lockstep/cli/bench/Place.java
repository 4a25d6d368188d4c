package org.lockstep.cli.bench;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** How ranks live. */
public enum Place {
    /** Threads of this JVM. */
    THREADS("lockstep-local"),

    /** JVMs of this host, by whichever transport is best. */
    JVMS("lockstep-shm"),

    /** JVMs of this host that use TCP only. */
    TCP("lockstep-tcp"),

    /** Tasks of a barrier stage. */
    SPARK("lockstep-spark");

    private final String peer;

    Place(String peer) {
        this.peer = peer;
    }

    /** The place of a word of {@link #words}. */
    public static Optional<Place> of(String word) {
        return Arrays.stream(values())
                .filter(each -> each != SPARK && each.word().equals(word.toLowerCase(Locale.ROOT)))
                .findFirst();
    }

    /** The words of the places that can be chosen; Spark's is chosen by its master. */
    public static List<String> words() {
        return Arrays.stream(values())
                .filter(each -> each != SPARK)
                .map(Place::word)
                .toList();
    }

    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The name under which results are compared with other programs'. */
    public String peer() {
        return peer;
    }
}
