package org.lockstep.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.HostBuffer;

/**
 * What is done with each token or row by itself and sums nothing: looked up, rotated, written to the cache, searched. Cut into
 * parts only where there is enough to do that waking a worker pays. One caller at a time.
 */
final class TokenKernels {
    private final Team team;
    private final Team.Job embed = this::embed;
    private final Team.Job rotate = this::rotate;
    private final Team.Job write = this::write;
    private final Team.Job search = this::search;

    private @Nullable HostBuffer first;
    private @Nullable HostBuffer second;
    private @Nullable HostBuffer third;
    private @Nullable PanelWeight table;
    private @Nullable HostCache cache;
    private @Nullable BatchLayout layout;
    private int[] numbers = new int[0]; // ids of tokens, or what was found
    private int firstRow;
    private int headSize;
    private int tokens;
    private int width; // elements of a token

    TokenKernels(Team team) {
        this.team = team;
    }

    private void run(Team.Job job, int tokens, int width) {
        this.tokens = tokens;
        this.width = width;
        team.run(job, (tokens + tokensOfAPart() - 1) / tokensOfAPart());
    }

    private int tokensOfAPart() {
        return Math.max(1, Team.PART / Math.max(1, width));
    }

    private int begin(int part) {
        return part * tokensOfAPart();
    }

    private int end(int part) {
        return Math.min(tokens, begin(part) + tokensOfAPart());
    }

    /** {@code out[t] = table[ids[t] - firstRow]}, and zeros where the table has no such row. */
    void embed(PanelWeight table, int[] ids, int firstRow, HostBuffer out) {
        this.table = table;
        this.numbers = ids;
        this.firstRow = firstRow;
        this.first = out;
        run(embed, ids.length, table.columns());
    }

    private void embed(int part, int worker) {
        PanelWeight from = given(table);
        HostBuffer out = given(first);
        for (int t = begin(part); t < end(part); t++) {
            int row = numbers[t] - firstRow;
            int at = out.offset() + t * width;
            if (row >= 0 && row < from.rows()) {
                from.row(row, out.floats(), at);
            } else {
                Arrays.fill(out.floats(), at, at + width, 0f);
            }
        }
    }

    /** Rotates heads of {@code headSize} by the positions of their tokens: {@code width} elements a token. */
    void rotate(HostBuffer x, int width, HostBuffer cos, HostBuffer sin, BatchLayout layout, int headSize) {
        this.first = x;
        this.second = cos;
        this.third = sin;
        this.layout = layout;
        this.headSize = headSize;
        run(rotate, layout.tokens(), width);
    }

    private void rotate(int part, int worker) {
        HostBuffer x = given(first);
        HostBuffer cos = given(second);
        HostBuffer sin = given(third);
        BatchLayout batch = given(layout);
        int half = headSize / 2;
        int s = sequence(batch, begin(part));
        for (int token = begin(part); token < end(part); token++) {
            s = token == batch.queryStarts()[s + 1] ? s + 1 : s;
            int angle = position(batch, s, token) * half;
            int at = x.offset() + token * width;
            for (int head = 0; head < width; head += headSize) {
                rotateHead(
                        x.floats(),
                        at + head,
                        cos.floats(),
                        cos.offset() + angle,
                        sin.floats(),
                        sin.offset() + angle,
                        half);
            }
        }
    }

    private static void rotateHead(float[] x, int at, float[] cos, int cosAt, float[] sin, int sinAt, int half) {
        for (int i = 0; i < half; i++) {
            float a = x[at + i];
            float b = x[at + half + i];
            x[at + i] = a * cos[cosAt + i] - b * sin[sinAt + i];
            x[at + half + i] = b * cos[cosAt + i] + a * sin[sinAt + i];
        }
    }

    /** Writes keys and values, each (tokens, heads · headSize), to their slots. */
    void writeCache(HostBuffer keys, HostBuffer values, HostCache cache, BatchLayout layout) {
        this.first = keys;
        this.second = values;
        this.cache = cache;
        this.layout = layout;
        run(write, layout.tokens(), cache.heads() * cache.headSize());
    }

    private void write(int part, int worker) {
        HostBuffer keys = given(first);
        HostBuffer values = given(second);
        HostCache to = given(cache);
        BatchLayout batch = given(layout);
        int s = sequence(batch, begin(part));
        for (int token = begin(part); token < end(part); token++) {
            s = token == batch.queryStarts()[s + 1] ? s + 1 : s;
            int position = position(batch, s, token);
            to.write(
                    batch.blockTables()[s][position / batch.blockSize()],
                    position % batch.blockSize(),
                    keys.floats(),
                    keys.offset() + token * width,
                    values.floats(),
                    values.offset() + token * width);
        }
    }

    /** The sequence that brings a token of the batch. */
    private static int sequence(BatchLayout batch, int token) {
        int found = Arrays.binarySearch(batch.queryStarts(), token);
        return found >= 0 ? found : -found - 2;
    }

    private static int position(BatchLayout batch, int s, int token) {
        return batch.firstPosition(s) + token - batch.queryStarts()[s];
    }

    /** The first of the largest of each of {@code rows}; -1 where an element is not finite or all are minus infinity. */
    void argmax(HostBuffer x, int rows, int width, int[] out) {
        this.first = x;
        this.numbers = out;
        run(search, rows, width);
    }

    private void search(int part, int worker) {
        HostBuffer x = given(first);
        for (int row = begin(part); row < end(part); row++) {
            numbers[row] = argmax(x.floats(), x.offset() + row * width, width);
        }
    }

    private static int argmax(float[] x, int at, int n) {
        int best = -1;
        float most = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < n; i++) {
            float v = x[at + i];
            if (!(v < Float.POSITIVE_INFINITY)) {
                return -1;
            }
            if (v > most) {
                most = v;
                best = i;
            }
        }
        return best;
    }

    private static <T> T given(@Nullable T operand) {
        if (operand == null) {
            throw new IllegalStateException("nothing is under way");
        }
        return operand;
    }
}
