package org.lockstep.inference;

import java.util.Arrays;

/**
 * Makes arrays that are mostly equal to one of a little before, and gives that one again: a step that computes what the step
 * before it did allocates nothing for it. Confined to one thread.
 */
final class RecentInts {
    private static final int[] NONE = {};

    private final int[][] recent;
    private int oldest;

    /** @param kept how many are remembered; at least 1 */
    RecentInts(int kept) {
        recent = new int[kept][];
        Arrays.fill(recent, NONE);
    }

    /** An array of the first {@code count} of {@code values}, which nobody is to change. */
    int[] of(int[] values, int count) {
        if (count == 0) {
            return NONE;
        }
        for (int i = 0; i < recent.length; i++) {
            int[] each = recent[i];
            if (Arrays.equals(each, 0, each.length, values, 0, count)) {
                return each;
            }
        }
        int[] made = Arrays.copyOf(values, count);
        recent[oldest] = made;
        oldest = (oldest + 1) % recent.length;
        return made;
    }
}
