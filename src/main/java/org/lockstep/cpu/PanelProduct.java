package org.lockstep.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.WeightType;

/**
 * The product {@code x · weightᵀ}, panel by panel.
 *
 * <p>Tokens are taken in groups as large as a tile; a panel's columns in chunks that stay in the first cache, widened to f32
 * there if they are held otherwise, while all groups meet them. A sum that goes on in the next chunk waits in memory, so each
 * dot product is one chain of fused multiply-adds from the first column of a segment to its last, whatever the batch. The
 * segments' sums are added as a balanced tree.
 *
 * <p>Owns its scratch memory, which grows to the largest product seen. One caller at a time.
 */
final class PanelProduct implements Team.Job {
    /** Columns of a panel in the first cache: 32 KiB in f32 with AVX-512. A multiple of a q8 block. */
    private static final int CHUNK = 128;

    /** Tokens whose sums stay in the second cache; a multiple of every tile. */
    private static final int TOKENS = 192;

    private static final int LEVELS = 33; // of a tree over as many segments as there are ints

    /** One worker's own memory. */
    private static final class Bench {
        final float[] widened;
        float[][] sums = new float[LEVELS][0]; // by level of the tree: (tokens, panel)

        Bench(int panel) {
            widened = new float[CHUNK * panel];
        }
    }

    private final Arithmetic arithmetic;
    private final Team team;
    private final int panel;
    private final Bench[] benches;

    private float[] packed = new float[0]; // by group of tokens: (columns, tokens of the group)
    private float[] tokenValues = packed;
    private int tokenStart;
    private int tokens;
    private @Nullable PanelWeight weight;
    private @Nullable HostBuffer bias;
    private @Nullable HostBuffer out;

    PanelProduct(Arithmetic arithmetic, Team team) {
        this.arithmetic = arithmetic;
        this.team = team;
        this.panel = arithmetic.panel();
        this.benches = new Bench[team.size()];
        for (int worker = 0; worker < benches.length; worker++) {
            benches[worker] = new Bench(panel);
        }
    }

    /**
     * Multiplies.
     *
     * @param x (tokens, columns)
     * @param bias (rows)
     * @param out (tokens, rows)
     */
    void multiply(HostBuffer x, int tokens, PanelWeight weight, @Nullable HostBuffer bias, HostBuffer out) {
        if (weight.panel() != panel) {
            throw new IllegalArgumentException(
                    "a weight in panels of " + weight.panel() + " rows was given to kernels of " + panel);
        }
        this.tokens = tokens;
        this.weight = weight;
        this.bias = bias;
        this.out = out;
        if (tokens == 1) {
            tokenValues = x.floats();
            tokenStart = x.offset();
        } else {
            pack(x, weight.columns());
        }
        team.run(this, weight.panels());
    }

    /** How many of {@code left} tokens the next group has. */
    private int group(int left) {
        return Math.min(left, arithmetic.tile());
    }

    private void pack(HostBuffer x, int columns) {
        if (packed.length < (long) tokens * columns) {
            packed = new float[Math.multiplyExact(tokens, columns)];
        }
        tokenValues = packed;
        tokenStart = 0;
        for (int t = 0, group; t < tokens; t += group) {
            group = group(tokens - t);
            for (int m = 0; m < group; m++) {
                spread(x.floats(), x.offset() + (t + m) * columns, columns, packed, t * columns + m, group);
            }
        }
    }

    private static void spread(float[] from, int fromAt, int count, float[] to, int at, int stride) {
        for (int k = 0; k < count; k++) {
            to[at + k * stride] = from[fromAt + k];
        }
    }

    @Override
    public void run(int part, int worker) {
        PanelWeight w = weight;
        HostBuffer target = out;
        if (w == null || target == null) {
            throw new IllegalStateException("no product is under way");
        }
        for (int from = 0; from < tokens; from += TOKENS) {
            int count = Math.min(TOKENS, tokens - from);
            float[] sums = sum(w, part, from, count, benches[worker]);
            store(sums, from, count, part * panel, w.rows(), target);
        }
    }

    /** The sums of some tokens over all segments. */
    private float[] sum(PanelWeight w, int index, int from, int count, Bench bench) {
        int level = 0;
        for (int segment = 0; segment < w.segments(); segment++) {
            float[] sums = zeros(bench, level++, count);
            sumSegment(w, index, segment, from, count, bench, sums);
            // As many levels are full as the number of segments so far, in binary, has trailing zeros.
            for (int done = segment + 1; (done & 1) == 0; done >>= 1) {
                level--;
                add(bench.sums[level - 1], bench.sums[level], count * panel);
            }
        }
        for (; level > 1; level--) {
            add(bench.sums[level - 2], bench.sums[level - 1], count * panel);
        }
        return bench.sums[0];
    }

    private float[] zeros(Bench bench, int level, int count) {
        if (bench.sums[level].length < count * panel) {
            bench.sums[level] = new float[count * panel];
        } else {
            Arrays.fill(bench.sums[level], 0, count * panel, 0);
        }
        return bench.sums[level];
    }

    private static void add(float[] to, float[] from, int count) {
        for (int i = 0; i < count; i++) {
            to[i] += from[i];
        }
    }

    private void sumSegment(PanelWeight w, int index, int segment, int from, int count, Bench bench, float[] sums) {
        int first = segment * w.run();
        int end = first + w.run();
        if (w.type() == WeightType.F32) {
            int chunk = count <= arithmetic.tile() ? w.run() : CHUNK;
            float[] array = (float[]) w.array(index);
            for (int k = first; k < end; k += chunk) {
                meet(array, w.start(index) + k * panel, k, Math.min(chunk, end - k), w.columns(), from, count, sums);
            }
        } else if (count == 1) {
            chain(w, index, segment, tokenStart + from * w.columns(), sums);
        } else {
            for (int k = first; k < end; k += CHUNK) {
                int some = Math.min(CHUNK, end - k);
                widen(w, index, segment, k, some, bench.widened);
                meet(bench.widened, 0, k, some, w.columns(), from, count, sums);
            }
        }
    }

    /** One token, or the last of many where a group begins with it, meets a segment of a panel. */
    private void chain(PanelWeight w, int index, int segment, int xAt, float[] sums) {
        int first = segment * w.run();
        int at = w.start(index) + first * panel;
        int x = xAt + first;
        switch (w.type()) {
            case F32 -> throw new IllegalStateException("f32 has tiles");
            case BF16 -> arithmetic.chainBf16(w.run(), (short[]) w.array(index), at, tokenValues, x, sums, 0);
            case F16 -> arithmetic.chainF16(w.run(), (short[]) w.array(index), at, tokenValues, x, sums, 0);
            case Q8 -> {
                byte[] array = (byte[]) w.array(index);
                float[] scales = w.scales(index);
                int scalesAt = w.scalesStart(index) + segment * w.blocksPerSegment() * panel;
                for (int k = 0; k < w.run(); k += WeightType.BLOCK) {
                    int some = Math.min(WeightType.BLOCK, w.run() - k);
                    arithmetic.chainQ8(some, array, at + k * panel, scales, scalesAt, tokenValues, x + k, sums, 0);
                    scalesAt += panel;
                }
            }
        }
    }

    private void widen(PanelWeight w, int index, int segment, int k, int count, float[] widened) {
        int at = w.start(index) + k * panel;
        switch (w.type()) {
            case F32 -> throw new IllegalStateException("f32 needs no widening");
            case BF16 -> arithmetic.widenBf16((short[]) w.array(index), at, count, widened, 0);
            case F16 -> arithmetic.widenF16((short[]) w.array(index), at, count, widened, 0);
            case Q8 -> {
                byte[] array = (byte[]) w.array(index);
                int block = segment * w.blocksPerSegment() + (k - segment * w.run()) / WeightType.BLOCK;
                for (int done = 0; done < count; done += WeightType.BLOCK) {
                    int some = Math.min(WeightType.BLOCK, count - done);
                    int scales = w.scalesStart(index) + block++ * panel;
                    arithmetic.widenQ8(array, at + done * panel, w.scales(index), scales, some, widened, done * panel);
                }
            }
        }
    }

    /** All groups of tokens meet some columns of a panel. */
    private void meet(
            float[] panelValues, int at, int k, int count, int columns, int from, int tokenCount, float[] sums) {
        for (int t = 0, group; t < tokenCount; t += group) {
            // A group never straddles two runs of tokens: these are multiples of the tile.
            group = group(tokens - from - t);
            int xAt = tokenStart + (from + t) * columns + k * group;
            arithmetic.tile(group, count, panelValues, at, panel, tokenValues, xAt, group, sums, t * panel, panel);
        }
    }

    private void store(float[] sums, int from, int count, int row, int rows, HostBuffer target) {
        int some = Math.min(panel, rows - row);
        HostBuffer added = bias;
        for (int t = 0; t < count; t++) {
            int at = target.offset() + (from + t) * rows + row;
            System.arraycopy(sums, t * panel, target.floats(), at, some);
            if (added != null) {
                add(target.floats(), at, added.floats(), added.offset() + row, some);
            }
        }
    }

    private static void add(float[] to, int at, float[] from, int fromAt, int count) {
        for (int i = 0; i < count; i++) {
            to[at + i] += from[fromAt + i];
        }
    }

    /** Writes row {@code row} of a weight to {@code to}, widened. */
    void row(PanelWeight w, int row, float[] to, int at) {
        int index = row / panel;
        float[] widened = benches[0].widened;
        for (int segment = 0; segment < w.segments(); segment++) {
            int end = (segment + 1) * w.run();
            for (int k = segment * w.run(); k < end; k += CHUNK) {
                int some = Math.min(CHUNK, end - k);
                float[] values = widened;
                int valuesAt = row % panel;
                if (w.type() == WeightType.F32) {
                    values = (float[]) w.array(index);
                    valuesAt += w.start(index) + k * panel;
                } else {
                    widen(w, index, segment, k, some, widened);
                }
                for (int i = 0; i < some; i++) {
                    to[at + k + i] = values[valuesAt + i * panel];
                }
            }
        }
    }
}
