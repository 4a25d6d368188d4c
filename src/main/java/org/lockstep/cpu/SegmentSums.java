package org.lockstep.cpu;

import java.util.Arrays;

/**
 * Sums of segments on their way to one: added as a balanced tree, of which at most one sum waits at each level. Owns its
 * memory, which grows to the most seen. Confined to one worker at a time.
 */
final class SegmentSums {
    private static final int LEVELS = 33; // of a tree over as many segments as there are ints

    private final float[][] levels = new float[LEVELS][0];
    private int size;
    private int open;
    private int done;

    /** Begins with no segment, of so many sums each. */
    void begin(int sums) {
        size = sums;
        open = 0;
        done = 0;
    }

    /** Zeros for the sums of the next segment. */
    float[] next() {
        merge();
        float[] sums = levels[open];
        if (sums.length < size) {
            sums = new float[size];
            levels[open] = sums;
        } else {
            Arrays.fill(sums, 0, size, 0);
        }
        open++;
        done++;
        return sums;
    }

    /** As many sums are whole as the number of segments so far, in binary, has trailing zeros. */
    private void merge() {
        for (int count = done; count > 0 && (count & 1) == 0; count >>= 1) {
            add();
        }
    }

    /** The sums over all segments. */
    float[] total() {
        merge();
        while (open > 1) {
            add();
        }
        return levels[0];
    }

    private void add() {
        open--;
        float[] to = levels[open - 1];
        float[] from = levels[open];
        for (int i = 0; i < size; i++) {
            to[i] += from[i];
        }
    }
}
