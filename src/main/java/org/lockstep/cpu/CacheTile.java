package org.lockstep.cpu;

import org.lockstep.simd.Arithmetic;

/**
 * Where the keys and values of some neighbouring positions are, in strips: in the cache, or gathered from it where its blocks or
 * heads are not made of whole strips. Confined to one thread.
 */
final class CacheTile {
    private static final int STRIP = Arithmetic.LANES;

    private final int most; // positions
    private float[] gatheredKeys = new float[0]; // (strips of the tile, headSize, positions of a strip)
    private float[] gatheredValues =
            gatheredKeys; // (strips of the head, tile, elements of a strip), anything beyond the head

    float[] keys = gatheredKeys;
    final int[] strips; // where each strip of the tile begins among the keys: (headSize, positions of a strip)
    float[] values = gatheredKeys;
    final int[] runEnds; // position of the tile after a run of those that stand side by side among the values
    final int[] runStarts; // where position 0 would be if the run went that far back: (positions, elements of a strip)
    int nextStrip; // from one strip of a head to the next
    private int runs;

    /**
     * Of no positions yet.
     *
     * @param most positions of a tile, whole strips
     */
    CacheTile(int most) {
        this.most = most;
        this.strips = new int[most / STRIP];
        this.runEnds = new int[most];
        this.runStarts = new int[most];
    }

    /** Those of {@code count} positions from {@code start} on, of a sequence whose blocks are in {@code table}. */
    void find(HostCache cache, int[] table, int head, int start, int count) {
        if (cache.keysBeside() == STRIP) {
            findKeys(cache, table, head, start, count);
        } else {
            gatherKeys(cache, table, head, start, count);
        }
        runs = 0;
        if (cache.valuesBeside() == STRIP) {
            findValues(cache, table, head, start, count);
        } else {
            gatherValues(cache, table, head, start, count);
        }
    }

    private void findKeys(HostCache cache, int[] table, int head, int start, int count) {
        keys = cache.keys().floats();
        for (int p = 0; p < count; p += STRIP) {
            int position = start + p;
            strips[p / STRIP] = cache.keyAt(table[position / cache.blockSize()], head, position % cache.blockSize());
        }
    }

    private void gatherKeys(HostCache cache, int[] table, int head, int start, int count) {
        int size = cache.headSize();
        int blockSize = cache.blockSize();
        if (gatheredKeys.length < most * size) {
            gatheredKeys = new float[most * size];
        }
        for (int p = 0, some; p < count; p += some) {
            int position = start + p;
            int slot = position % blockSize;
            some = Math.min(Math.min(blockSize - slot, count - p), STRIP - p % STRIP);
            int at = cache.keyAt(table[position / blockSize], head, slot);
            int to = p / STRIP * size * STRIP;
            strips[p / STRIP] = to;
            for (int d = 0; d < size; d++) {
                System.arraycopy(
                        cache.keys().floats(), at + d * blockSize, gatheredKeys, to + p % STRIP + d * STRIP, some);
            }
        }
        keys = gatheredKeys;
    }

    private void findValues(HostCache cache, int[] table, int head, int start, int count) {
        int blockSize = cache.blockSize();
        for (int p = 0, some; p < count; p += some) {
            int position = start + p;
            int slot = position % blockSize;
            some = Math.min(blockSize - slot, count - p);
            add(p + some, cache.valueAt(table[position / blockSize], head, slot) - p * STRIP);
        }
        values = cache.values().floats();
        nextStrip = blockSize * STRIP;
    }

    private void gatherValues(HostCache cache, int[] table, int head, int start, int count) {
        int size = cache.headSize();
        int wide = (size + STRIP - 1) / STRIP * STRIP;
        if (gatheredValues.length < most * wide) {
            gatheredValues = new float[most * wide];
        }
        for (int p = 0; p < count; p++) {
            int position = start + p;
            int at = cache.valueAt(table[position / cache.blockSize()], head, position % cache.blockSize());
            for (int j = 0; j < size; j += STRIP) {
                int to = j * most + p * STRIP;
                System.arraycopy(cache.values().floats(), at + j, gatheredValues, to, Math.min(STRIP, size - j));
            }
        }
        add(count, 0);
        values = gatheredValues;
        nextStrip = most * STRIP;
    }

    private void add(int end, int start) {
        runEnds[runs] = end;
        runStarts[runs++] = start;
    }
}
