package org.lockstep.cpu;

import java.util.Arrays;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.HostBuffer;

/**
 * Causal grouped-query attention over a paged cache, softmax in f32 in two passes.
 *
 * <p>Each query meets its context position by position from the first, so that its result depends on nothing but itself
 * and that context: not on the batch, not on the blocks, not on how a prompt was cut into chunks. The maximum is taken off
 * before the exponential; sums are f32. Owns its scratch memory. One thread at a time.
 */
final class PagedAttention {
    private int[] rows = new int[0]; // (context): where each position's row begins in the caches
    private float[] scores = new float[0]; // (context)
    private float[] sum = new float[0]; // (headSize)

    /**
     * Attends.
     *
     * @param query (tokens, heads · headSize)
     * @param keys (blocks, blockSize, kvHeads · headSize)
     * @param values likewise
     * @param out (tokens, heads · headSize)
     */
    void attend(
            HostBuffer query,
            int heads,
            HostBuffer keys,
            HostBuffer values,
            int kvHeads,
            BatchLayout layout,
            int headSize,
            HostBuffer out) {
        float scale = (float) (1 / Math.sqrt(headSize));
        if (sum.length != headSize) {
            sum = new float[headSize];
        }
        for (int s = 0; s < layout.sequences(); s++) {
            locate(layout, s, kvHeads * headSize);
            int first = layout.queryStarts()[s];
            for (int token = first; token < layout.queryStarts()[s + 1]; token++) {
                int context = layout.firstPosition(s) + token - first + 1;
                for (int head = 0; head < heads; head++) {
                    int at = (token * heads + head) * headSize;
                    int skip = (int) ((long) head * kvHeads / heads) * headSize;
                    attendOne(query, query.offset() + at, keys, values, skip, context, scale);
                    System.arraycopy(sum, 0, out.floats(), out.offset() + at, headSize);
                }
            }
        }
    }

    private void locate(BatchLayout layout, int s, int width) {
        int context = layout.contextLengths()[s];
        if (rows.length < context) {
            rows = new int[Math.max(context, 2 * rows.length)];
            scores = new float[rows.length];
        }
        int[] blocks = layout.blockTables()[s];
        int blockSize = layout.blockSize();
        for (int p = 0; p < context; p++) {
            rows[p] = (blocks[p / blockSize] * blockSize + p % blockSize) * width;
        }
    }

    private void attendOne(
            HostBuffer query, int queryAt, HostBuffer keys, HostBuffer values, int skip, int context, float scale) {
        float[] q = query.floats();
        float max = Float.NEGATIVE_INFINITY;
        for (int p = 0; p < context; p++) {
            float score = scale * dot(q, queryAt, keys.floats(), keys.offset() + skip + rows[p], sum.length);
            scores[p] = score;
            max = Math.max(max, score);
        }
        float total = 0;
        for (int p = 0; p < context; p++) {
            scores[p] = (float) Math.exp(scores[p] - max);
            total += scores[p];
        }
        Arrays.fill(sum, 0);
        for (int p = 0; p < context; p++) {
            addScaled(sum, scores[p] / total, values.floats(), values.offset() + skip + rows[p]);
        }
    }

    private static float dot(float[] a, int aAt, float[] b, int bAt, int count) {
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        int i = 0;
        for (; i + 4 <= count; i += 4) {
            s0 += a[aAt + i] * b[bAt + i];
            s1 += a[aAt + i + 1] * b[bAt + i + 1];
            s2 += a[aAt + i + 2] * b[bAt + i + 2];
            s3 += a[aAt + i + 3] * b[bAt + i + 3];
        }
        for (; i < count; i++) {
            s0 += a[aAt + i] * b[bAt + i];
        }
        return (s0 + s1) + (s2 + s3);
    }

    private static void addScaled(float[] sum, float factor, float[] x, int xAt) {
        for (int i = 0; i < sum.length; i++) {
            sum[i] += factor * x[xAt + i];
        }
    }
}
