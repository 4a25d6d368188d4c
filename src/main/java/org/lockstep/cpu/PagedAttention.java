package org.lockstep.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.HostBuffer;

/**
 * Causal grouped-query attention over a paged cache, with the running softmax of FlashAttention (Dao et al., 2022).
 *
 * <p>The context is taken in tiles of {@value #TILE} positions, counted from its start and not from a block or a chunk; each
 * query meets them from the first on, so its result depends on nothing but itself and that context. Some queries of a
 * sequence, with all heads that share a key/value head, are one part of the work: a tile's keys are gathered once for all of
 * them. Scores and outputs are both tiles of products ({@link Arithmetic#tile}): one with positions side by side, one with
 * the elements of a head.
 *
 * <p>Owns its scratch memory. One caller at a time.
 */
final class PagedAttention implements Team.Job {
    private static final int TILE = 64;
    private static final int QUERIES = 32; // tokens of a sequence in a part

    private final Arithmetic arithmetic;
    private final Team team;
    private final int panel;
    private final AttentionBench[] benches;

    private @Nullable HostBuffer query;
    private @Nullable HostBuffer out;
    private @Nullable HostCache cache;
    private @Nullable BatchLayout layout;
    private int heads;
    private int[] partSequence = new int[0]; // by run of queries
    private int[] partToken = partSequence;

    PagedAttention(Arithmetic arithmetic, Team team) {
        this.arithmetic = arithmetic;
        this.team = team;
        this.panel = arithmetic.panel();
        this.benches = new AttentionBench[team.size()];
        for (int worker = 0; worker < benches.length; worker++) {
            benches[worker] = new AttentionBench(TILE);
        }
    }

    /**
     * Attends.
     *
     * @param query (tokens, heads · headSize)
     * @param out (tokens, heads · headSize)
     */
    void attend(HostBuffer query, int heads, HostCache cache, BatchLayout layout, HostBuffer out) {
        this.query = query;
        this.heads = heads;
        this.cache = cache;
        this.layout = layout;
        this.out = out;
        int parts = 0;
        for (int s = 0; s < layout.sequences(); s++) {
            int end = layout.queryStarts()[s + 1];
            for (int token = layout.queryStarts()[s]; token < end; token += QUERIES) {
                if (parts == partSequence.length) {
                    partSequence = Arrays.copyOf(partSequence, 2 * parts + 8);
                    partToken = Arrays.copyOf(partToken, 2 * parts + 8);
                }
                partSequence[parts] = s;
                partToken[parts++] = token;
            }
        }
        team.run(this, parts * cache.heads());
    }

    @Override
    public void run(int part, int worker) {
        HostBuffer from = query;
        HostBuffer to = out;
        HostCache blocks = cache;
        BatchLayout batch = layout;
        if (from == null || to == null || blocks == null || batch == null) {
            throw new IllegalStateException("no attention is under way");
        }
        int head = part % blocks.heads();
        int s = partSequence[part / blocks.heads()];
        int token = partToken[part / blocks.heads()];
        int tokens = Math.min(QUERIES, batch.queryStarts()[s + 1] - token);
        AttentionBench bench = benches[worker];
        int group = heads / blocks.heads();
        bench.begin(tokens * group, blocks.headSize(), panel);
        load(from, blocks, head, token, bench);
        int first = batch.firstPosition(s) + token - batch.queryStarts()[s];
        int context = first + tokens;
        for (int start = 0; start < context; start += TILE) {
            int count = Math.min(TILE, context - start);
            int[] table = batch.blockTables()[s];
            gatherKeys(blocks, table, head, start, count, bench);
            gatherValues(blocks, table, head, start, count, bench);
            for (int row = 0, some; row < bench.rows; row += some) {
                some = Math.min(Arithmetic.ROWS, bench.rows - row);
                score(row, some, count, blocks.headSize(), bench);
                int common = soften(row, some, start, count, first, group, bench);
                mix(row, some, common, bench);
            }
        }
        store(to, blocks.headSize(), head, token, tokens, group, bench);
    }

    /** Queries, scaled, by group of rows: (headSize, rows of the group). */
    private void load(HostBuffer from, HostCache blocks, int head, int token, AttentionBench bench) {
        int size = blocks.headSize();
        int group = heads / blocks.heads();
        float scale = (float) (1 / Math.sqrt(size));
        for (int row = 0; row < bench.rows; row++) {
            int groupStart = row - row % Arithmetic.ROWS;
            int some = Math.min(Arithmetic.ROWS, bench.rows - groupStart);
            int at = from.offset() + ((token + row / group) * heads + head * group + row % group) * size;
            int to = groupStart * size + row - groupStart;
            for (int d = 0; d < size; d++) {
                bench.queries[to + d * some] = from.floats()[at + d] * scale;
            }
        }
    }

    /** Keys of a tile's positions: (panels of positions, headSize, panel). */
    private void gatherKeys(HostCache blocks, int[] table, int head, int start, int count, AttentionBench bench) {
        int size = blocks.headSize();
        int blockSize = blocks.blockSize();
        float[] keys = blocks.keys().floats();
        for (int p = 0, some; p < count; p += some) {
            int position = start + p;
            int slot = position % blockSize;
            some = Math.min(Math.min(blockSize - slot, count - p), panel - p % panel);
            int at = blocks.start(table[position / blockSize], head) + slot;
            int to = p / panel * size * panel + p % panel;
            for (int d = 0; d < size; d++) {
                for (int i = 0; i < some; i++) {
                    bench.keys[to + i] = keys[at + i];
                }
                at += blockSize;
                to += panel;
            }
        }
    }

    /** Values of a tile's positions: (panels of the head, positions, panel). */
    private void gatherValues(HostCache blocks, int[] table, int head, int start, int count, AttentionBench bench) {
        int size = blocks.headSize();
        int blockSize = blocks.blockSize();
        float[] values = blocks.values().floats();
        for (int p = 0; p < count; p++) {
            int position = start + p;
            int at = blocks.start(table[position / blockSize], head) + position % blockSize * size;
            for (int j = 0; j < size; j += panel) {
                System.arraycopy(values, at + j, bench.values, j * TILE + p * panel, Math.min(panel, size - j));
            }
        }
    }

    private void score(int row, int rows, int count, int size, AttentionBench bench) {
        Arrays.fill(bench.scores, 0);
        for (int p = 0; p < count; p += panel) {
            int at = p / panel * size * panel;
            arithmetic.tile(rows, size, bench.keys, at, bench.queries, row * size, bench.scores, p, TILE);
        }
    }

    /**
     * Makes weights of the scores of some rows, (positions, rows), and takes the running sums down to the new maximum.
     *
     * @return how many positions of the tile all rows see
     */
    private int soften(int row, int rows, int start, int count, int first, int group, AttentionBench bench) {
        int common = count;
        for (int r = 0; r < rows; r++) {
            int seen = Math.max(0, Math.min(count, first + (row + r) / group + 1 - start));
            bench.seen[r] = seen;
            common = Math.min(common, seen);
            if (seen > 0) {
                bench.soften(arithmetic, r * TILE, seen, row + r);
            }
            for (int p = 0; p < seen; p++) {
                bench.weights[p * rows + r] = bench.scores[r * TILE + p];
            }
        }
        return common;
    }

    /** Adds the tile's values, weighted, to the sums of some rows; what not all rows see, row by row. */
    private void mix(int row, int rows, int common, AttentionBench bench) {
        mix(0, common, row, rows, bench.weights, 0, bench);
        for (int r = 0; r < rows; r++) {
            if (bench.seen[r] > common) {
                mix(common, bench.seen[r], row + r, 1, bench.scores, r * TILE, bench);
            }
        }
    }

    private void mix(int from, int to, int row, int rows, float[] weights, int weightsAt, AttentionBench bench) {
        for (int j = 0; j < bench.width; j += panel) {
            arithmetic.tile(
                    rows,
                    to - from,
                    bench.values,
                    j * TILE + from * panel,
                    weights,
                    weightsAt + from * rows,
                    bench.sums,
                    row * bench.width + j,
                    bench.width);
        }
    }

    private void store(HostBuffer to, int size, int head, int token, int tokens, int group, AttentionBench bench) {
        for (int row = 0; row < tokens * group; row++) {
            int at = to.offset() + ((token + row / group) * heads + head * group + row % group) * size;
            for (int d = 0; d < size; d++) {
                to.floats()[at + d] = bench.sums[row * bench.width + d] / bench.totals[row];
            }
        }
    }
}
