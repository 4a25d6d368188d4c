package org.lockstep;

/** How much of this JVM's heap is in use. */
public final class Heap {
    private Heap() {}

    /** Bytes of what lives: the least of several looks, each behind a collection, for other threads make objects too. */
    public static long used() {
        Runtime runtime = Runtime.getRuntime();
        long used = Long.MAX_VALUE;
        for (int i = 0; i < 4; i++) {
            System.gc();
            used = Math.min(used, runtime.totalMemory() - runtime.freeMemory());
        }
        return used;
    }
}
