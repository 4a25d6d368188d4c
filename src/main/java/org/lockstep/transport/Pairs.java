package org.lockstep.transport;

/** Which ranks of a group have a connection from the beginning, where they need one; others have it from its first use on. */
public final class Pairs {
    /** Groups of at most so many ranks have one for every pair. */
    public static final int ALL = 128;

    private Pairs() {}

    /**
     * Whether two ranks in a group of {@code size} are connected from the beginning: in a large group those whose distance around it is a power
     * of two, which is what rings, binomial trees of any root, dissemination, Bruck's all-to-all and, inside a power of two
     * ranks, recursive halving and doubling use.
     */
    public static boolean isConnected(int size, int a, int b) {
        int distance = Math.floorMod(b - a, size);
        return distance > 0
                && (size <= ALL || Integer.bitCount(distance) == 1 || Integer.bitCount(size - distance) == 1);
    }
}
