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
 * sequence, with all heads that share a key/value head, are one part of the work. Scores and outputs are both products of
 * {@linkplain Arithmetic#strips strips}: one with positions side by side, one with the elements of a head. Strips are met in the
 * cache where it has them, and where it has not are gathered once for all queries of the part.
 *
 * <p>Owns its scratch memory. One caller at a time.
 */
final class PagedAttention implements Team.Job {
    private static final int TILE = 64; // a multiple of two strips
    private static final int STRIP = Arithmetic.LANES;
    private static final int QUERIES = 32; // tokens of a sequence in a part

    private final Arithmetic arithmetic;
    private final Team team;
    private final AttentionBench[] benches;
    private final CacheTile[] tiles;

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
        this.benches = new AttentionBench[team.size()];
        this.tiles = new CacheTile[team.size()];
        for (int worker = 0; worker < benches.length; worker++) {
            benches[worker] = new AttentionBench(TILE);
            tiles[worker] = new CacheTile(TILE);
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
        CacheTile tile = tiles[worker];
        int group = heads / blocks.heads();
        bench.begin(tokens * group, blocks.headSize());
        load(from, blocks, head, token, bench);
        int first = batch.firstPosition(s) + token - batch.queryStarts()[s];
        int context = first + tokens;
        for (int start = 0; start < context; start += TILE) {
            int count = Math.min(TILE, context - start);
            tile.find(blocks, batch.blockTables()[s], head, start, count);
            for (int row = 0, some; row < bench.rows; row += some) {
                some = Math.min(Arithmetic.ROWS, bench.rows - row);
                score(row, some, count, blocks.headSize(), tile, bench);
                int common = soften(row, some, start, count, first, group, bench);
                mix(row, some, common, tile, bench);
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

    private void score(int row, int rows, int count, int size, CacheTile tile, AttentionBench bench) {
        Arrays.fill(bench.scores, 0);
        for (int p = 0; p < count; p += 2 * STRIP) {
            int at = tile.strips[p / STRIP];
            int next = p + STRIP < count ? tile.strips[p / STRIP + 1] - at : 0;
            arithmetic.strips(rows, size, tile.keys, at, next, bench.queries, row * size, bench.scores, p, TILE);
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
    private void mix(int row, int rows, int common, CacheTile tile, AttentionBench bench) {
        mix(0, common, row, rows, bench.weights, 0, tile, bench);
        for (int r = 0; r < rows; r++) {
            if (bench.seen[r] > common) {
                mix(common, bench.seen[r], row + r, 1, bench.scores, r * TILE, tile, bench);
            }
        }
    }

    private void mix(
            int from, int to, int row, int rows, float[] weights, int weightsAt, CacheTile tile, AttentionBench bench) {
        for (int run = 0, p = from; p < to; run++) {
            int end = Math.min(to, tile.runEnds[run]);
            for (int j = 0; p < end && j < bench.width; j += 2 * STRIP) {
                arithmetic.strips(
                        rows,
                        end - p,
                        tile.values,
                        tile.runStarts[run] + p * STRIP + j / STRIP * tile.nextStrip,
                        j + STRIP < bench.width ? tile.nextStrip : 0,
                        weights,
                        weightsAt + p * rows,
                        bench.sums,
                        row * bench.width + j,
                        bench.width);
            }
            p = Math.max(p, end);
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
