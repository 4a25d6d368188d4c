package org.lockstep.cpu;

import org.jspecify.annotations.Nullable;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.WeightType;

/**
 * The product {@code x · weightᵀ}, panel by panel.
 *
 * <p>Tokens are taken in groups as large as a tile; a panel's columns in chunks that stay in the first cache, widened to f32
 * there if they are held otherwise, while all groups meet them. A sum that goes on in the next chunk waits in memory, so each
 * dot product is one chain of fused multiply-adds from the first column of a segment to its last, whatever the batch. A single
 * token meets two panels at once, narrow weights widened in registers. The segments' sums are added as a balanced tree.
 *
 * <p>Owns its scratch memory, which grows to the largest product seen. One caller at a time.
 */
final class PanelProduct implements Team.Job {
    /** Columns of a panel in the first cache: 32 KiB in f32 with AVX-512. A multiple of a q8 block. */
    private static final int CHUNK = 128;

    /** Tokens whose sums stay in the second cache; a multiple of every tile. */
    private static final int TOKENS = 192;

    /** One worker's own memory. */
    private static final class Bench {
        final float[] widened;
        final SegmentSums sums = new SegmentSums();

        Bench(int panel) {
            widened = new float[CHUNK * panel];
        }
    }

    private final Arithmetic arithmetic;
    private final Team team;
    private final int panel;
    private final Bench[] benches;
    private final Team.Job packing = this::pack;

    private float[] packed = new float[0]; // by group of tokens: (columns, tokens of the group)
    private @Nullable HostBuffer source;
    private int sourceColumns;
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
        team.run(this, tokens == 1 ? (weight.panels() + 1) / 2 : weight.panels());
    }

    /** How many of {@code left} tokens the next group has. */
    private int group(int left) {
        return Math.min(left, Arithmetic.ROWS);
    }

    private void pack(HostBuffer x, int columns) {
        if (packed.length < (long) tokens * columns) {
            packed = new float[Math.multiplyExact(tokens, columns)];
        }
        source = x;
        sourceColumns = columns;
        int some = tokensToPack();
        team.run(packing, (tokens + some - 1) / some);
        tokenValues = packed;
        tokenStart = 0;
    }

    /** Tokens that a worker packs at a time: whole groups. */
    private int tokensToPack() {
        return Math.max(1, Team.PART / Math.max(1, sourceColumns) / Arithmetic.ROWS) * Arithmetic.ROWS;
    }

    private void pack(int part, int worker) {
        HostBuffer x = source;
        if (x == null) {
            throw new IllegalStateException("no product is under way");
        }
        int columns = sourceColumns;
        int end = Math.min(tokens, (part + 1) * tokensToPack());
        for (int t = part * tokensToPack(), group; t < end; t += group) {
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
        if (tokens == 1) {
            meetOne(w, 2 * part, benches[worker], target);
            return;
        }
        for (int from = 0; from < tokens; from += TOKENS) {
            int count = Math.min(TOKENS, tokens - from);
            SegmentSums sums = benches[worker].sums;
            sums.begin(count * panel);
            for (int segment = 0; segment < w.segments(); segment++) {
                sumSegment(w, part, segment, from, count, benches[worker], sums.next());
            }
            store(sums.total(), from, count, part * panel, w.rows(), target);
        }
    }

    private void sumSegment(PanelWeight w, int index, int segment, int from, int count, Bench bench, float[] sums) {
        int first = segment * w.run();
        int end = first + w.run();
        for (int k = first; k < end; k += CHUNK) {
            int some = Math.min(CHUNK, end - k);
            if (w.type() == WeightType.F32) {
                int at = w.start(index) + k * panel;
                meet((float[]) w.array(index), at, k, some, w.columns(), from, count, sums);
            } else {
                widen(w, index, segment, k, some, bench.widened);
                meet(bench.widened, 0, k, some, w.columns(), from, count, sums);
            }
        }
    }

    /** One token meets two panels at once, or one where there is no other beside it. */
    private void meetOne(PanelWeight w, int index, Bench bench, HostBuffer target) {
        boolean hasNext = index + 1 < w.panels();
        boolean beside = hasNext && w.array(index) == w.array(index + 1);
        SegmentSums sums = bench.sums;
        sums.begin(beside ? 2 * panel : panel);
        for (int segment = 0; segment < w.segments(); segment++) {
            chain(w, index, beside, segment, sums.next());
        }
        float[] total = sums.total();
        storePanel(total, 0, 0, index * panel, w.rows(), target);
        if (beside) {
            storePanel(total, panel, 0, (index + 1) * panel, w.rows(), target);
        } else if (hasNext) {
            sums.begin(panel);
            for (int segment = 0; segment < w.segments(); segment++) {
                chain(w, index + 1, false, segment, sums.next());
            }
            storePanel(sums.total(), 0, 0, (index + 1) * panel, w.rows(), target);
        }
    }

    private void chain(PanelWeight w, int index, boolean pair, int segment, float[] sums) {
        int run = w.run();
        int at = w.start(index) + segment * run * panel;
        int next = pair ? w.columns() * panel : 0;
        int x = tokenStart + segment * run;
        switch (w.type()) {
            case F32 -> arithmetic.chainF32(run, (float[]) w.array(index), at, next, tokenValues, x, sums, 0);
            case BF16 -> arithmetic.chainBf16(run, (short[]) w.array(index), at, next, tokenValues, x, sums, 0);
            case F16 -> arithmetic.chainF16(run, (short[]) w.array(index), at, next, tokenValues, x, sums, 0);
            case Q8 ->
                arithmetic.chainQ8(
                        run,
                        (byte[]) w.array(index),
                        at,
                        next,
                        w.scales(index),
                        w.scalesStart(index) + segment * w.blocksPerSegment() * panel,
                        w.segments() * w.blocksPerSegment() * panel,
                        tokenValues,
                        x,
                        sums,
                        0);
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
            arithmetic.tile(group, count, panelValues, at, tokenValues, xAt, sums, t * panel, panel);
        }
    }

    private void store(float[] sums, int from, int count, int row, int rows, HostBuffer target) {
        for (int t = 0; t < count; t++) {
            storePanel(sums, t * panel, from + t, row, rows, target);
        }
    }

    /** The sums of a panel, from {@code at} on, are a token's. */
    private void storePanel(float[] sums, int at, int token, int row, int rows, HostBuffer target) {
        int some = Math.min(panel, rows - row);
        int to = target.offset() + token * rows + row;
        System.arraycopy(sums, at, target.floats(), to, some);
        HostBuffer added = bias;
        if (added != null) {
            add(target.floats(), to, added.floats(), added.offset() + row, some);
        }
    }

    private static void add(float[] to, int at, float[] from, int fromAt, int count) {
        for (int i = 0; i < count; i++) {
            to[at + i] += from[fromAt + i];
        }
    }
}
