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
 * there where tiles cannot do that, while all groups meet them. A sum that goes on in the next chunk waits in memory, so each
 * dot product is one chain of fused multiply-adds from the first column of a segment to its last, whatever the batch. The tokens
 * are packed in the order in which they are met. A single token meets two panels at once, narrow weights widened in registers.
 * In q8 a block's columns are such a chain, which is then scaled and added. The segments' sums are added as a balanced tree.
 *
 * <p>Owns its scratch memory, which grows to the largest product seen. One caller at a time.
 */
final class PanelProduct implements Team.Job {
    /** Columns of a panel in the first cache: 32 KiB in f32 with AVX-512. A multiple of a q8 block. */
    private static final int CHUNK = 128;

    /** Tokens of a block, whose sums stay in the second cache; a multiple of every tile. */
    private static final int BLOCK = 192;

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

    private float[] packed = new float[0]; // by block, chunk and group: (columns of the chunk, tokens of the group)
    private @Nullable HostBuffer x;
    private int tokens;
    private boolean meetsBf16;
    private boolean isWhole; // every tile: of zeros where there is no token
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
        this.x = x;
        this.tokens = tokens;
        this.weight = weight;
        this.bias = bias;
        this.out = out;
        if (tokens == 1) {
            team.run(this, (weight.panels() + 1) / 2);
        } else {
            meetsBf16 = weight.type() == WeightType.BF16 && arithmetic.meetsBf16();
            isWhole = meetsBf16 || weight.type() == WeightType.Q8;
            int size = Math.multiplyExact(width(tokens), weight.columns());
            if (packed.length < size) {
                packed = new float[size];
            }
            int some = tokensToPack(weight.columns());
            team.run(packing, (tokens + some - 1) / some);
            team.run(this, weight.panels());
        }
    }

    /** How many of {@code left} tokens the next group has. */
    private static int group(int left) {
        return Math.min(left, Arithmetic.ROWS);
    }

    /** With how many rows so many tokens are packed. */
    private int width(int count) {
        return isWhole ? (count + Arithmetic.ROWS - 1) / Arithmetic.ROWS * Arithmetic.ROWS : count;
    }

    /** Tokens that a worker packs at a time: whole groups. */
    private static int tokensToPack(int columns) {
        return Math.max(1, Team.PART / Math.max(1, columns) / Arithmetic.ROWS) * Arithmetic.ROWS;
    }

    private void pack(int part, int worker) {
        PanelWeight w = given(weight);
        HostBuffer from = given(x);
        int columns = w.columns();
        int some = tokensToPack(columns);
        int end = Math.min(tokens, (part + 1) * some);
        for (int t = part * some, group; t < end; t += group) {
            group = group(tokens - t);
            for (int segment = 0; segment < w.segments(); segment++) {
                packSegment(from, t, group, segment * w.run(), w.run(), columns);
            }
        }
    }

    private void packSegment(HostBuffer from, int token, int group, int first, int run, int columns) {
        int block = token / BLOCK * BLOCK;
        int rows = width(Math.min(BLOCK, tokens - block));
        int stride = width(group);
        for (int k = first, some; k < first + run; k += some) {
            some = Math.min(CHUNK, first + run - k);
            int to = block * columns + k * rows + (token - block) * some;
            if (stride > group) {
                Arrays.fill(packed, to, to + stride * some, 0);
            }
            for (int m = 0; m < group; m++) {
                int at = from.offset() + (token + m) * columns + k;
                spread(from.floats(), at, some, packed, to + m, stride);
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
        PanelWeight w = given(weight);
        HostBuffer target = given(out);
        if (tokens == 1) {
            meetOne(w, 2 * part, benches[worker], target);
            return;
        }
        for (int block = 0; block < tokens; block += BLOCK) {
            int count = Math.min(BLOCK, tokens - block);
            SegmentSums sums = benches[worker].sums;
            sums.begin(width(count) * panel);
            for (int segment = 0; segment < w.segments(); segment++) {
                sumSegment(w, part, segment, block, count, benches[worker], sums.next());
            }
            store(sums.total(), block, count, part * panel, w.rows(), target);
        }
    }

    private void sumSegment(PanelWeight w, int index, int segment, int block, int count, Bench bench, float[] sums) {
        int first = segment * w.run();
        int end = first + w.run();
        for (int k = first, some; k < end; k += some) {
            some = Math.min(CHUNK, end - k);
            int at = w.start(index) + k * panel;
            int xAt = block * w.columns() + k * width(count);
            if (w.type() == WeightType.F32) {
                meet((float[]) w.array(index), at, some, xAt, count, sums);
            } else if (meetsBf16) {
                meetBf16((short[]) w.array(index), at, some, xAt, count, sums);
            } else {
                widen(w, at, index, some, bench.widened);
                if (w.type() == WeightType.Q8) {
                    int blocks = segment * w.blocksPerSegment() + (k - first) / WeightType.BLOCK;
                    int scalesAt = w.scalesStart(index) + blocks * panel;
                    meetBlocks(bench.widened, w.scales(index), scalesAt, some, xAt, count, sums);
                } else {
                    meet(bench.widened, 0, some, xAt, count, sums);
                }
            }
        }
    }

    /** All groups of a block's tokens meet some columns of a panel. */
    private void meet(float[] values, int at, int some, int xAt, int count, float[] sums) {
        for (int t = 0; t < count; t += Arithmetic.ROWS) {
            arithmetic.tile(group(count - t), some, values, at, packed, xAt + t * some, sums, t * panel, panel);
        }
    }

    private void meetBf16(short[] values, int at, int some, int xAt, int count, float[] sums) {
        for (int t = 0; t < count; t += Arithmetic.ROWS) {
            arithmetic.tileBf16(some, values, at, packed, xAt + t * some, sums, t * panel, panel);
        }
    }

    /** All groups meet columns whose scales were left out. */
    private void meetBlocks(float[] values, float[] scales, int scalesAt, int some, int xAt, int count, float[] sums) {
        for (int t = 0; t < count; t += Arithmetic.ROWS) {
            for (int k = 0; k < some; k += WeightType.BLOCK) {
                arithmetic.tileBlock(
                        Math.min(WeightType.BLOCK, some - k),
                        values,
                        k * panel,
                        packed,
                        xAt + t * some + k * Arithmetic.ROWS,
                        scales,
                        scalesAt + k / WeightType.BLOCK * panel,
                        sums,
                        t * panel,
                        panel);
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
        float[] values = given(x).floats();
        int xAt = given(x).offset() + segment * run;
        switch (w.type()) {
            case F32 -> arithmetic.chainF32(run, (float[]) w.array(index), at, next, values, xAt, sums, 0);
            case BF16 -> arithmetic.chainBf16(run, (short[]) w.array(index), at, next, values, xAt, sums, 0);
            case F16 -> arithmetic.chainF16(run, (short[]) w.array(index), at, next, values, xAt, sums, 0);
            case Q8 ->
                arithmetic.chainQ8(
                        run,
                        (byte[]) w.array(index),
                        at,
                        next,
                        w.scales(index),
                        w.scalesStart(index) + segment * w.blocksPerSegment() * panel,
                        w.segments() * w.blocksPerSegment() * panel,
                        values,
                        xAt,
                        sums,
                        0);
        }
    }

    private void widen(PanelWeight w, int at, int index, int count, float[] widened) {
        switch (w.type()) {
            case F32 -> throw new IllegalStateException("f32 needs no widening");
            case BF16 -> arithmetic.widenBf16((short[]) w.array(index), at, count, widened, 0);
            case F16 -> arithmetic.widenF16((short[]) w.array(index), at, count, widened, 0);
            case Q8 -> arithmetic.widenQ8((byte[]) w.array(index), at, count, widened, 0);
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
            arithmetic.add(target.floats(), to, added.floats(), added.offset() + row, some);
        }
    }

    private static <T> T given(@Nullable T operand) {
        if (operand == null) {
            throw new IllegalStateException("no product is under way");
        }
        return operand;
    }
}
