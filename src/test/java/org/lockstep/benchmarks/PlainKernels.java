package org.lockstep.benchmarks;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * Every kernel as one writes it down: loops over arrays, one thread, no vectors but those that the JIT finds. The yardstick of
 * the ratio check, nothing else: shapes are not checked, and segments are summed in one run.
 */
final class PlainKernels implements Kernels {
    private float[] row = new float[0];
    private float[] scores = new float[0];

    /**
     * A matrix as it is stored: {@code values} of f32, bits of bf16 or f16, or bytes with a scale for each block.
     *
     * @param scales of q8, (rows, blocks); empty otherwise
     */
    private record Stored(HostBuffer values, float[] scales, int rows, int columns, WeightType type, int segments)
            implements Weight {
        int blocks() {
            return (columns + WeightType.BLOCK - 1) / WeightType.BLOCK;
        }

        @Override
        public long bytes() {
            return values.bytes() + 4L * scales.length;
        }

        @Override
        public void close() {}
    }

    /** Keys and values, each (blocks, blockSize, heads · headSize). */
    private record Cache(float[] keys, float[] values, int blocks, int blockSize, int heads, int headSize)
            implements CacheBlocks {
        int width() {
            return heads * headSize;
        }

        int at(int[] table, int position) {
            return (table[position / blockSize] * blockSize + position % blockSize) * width();
        }

        @Override
        public long bytes() {
            return 4L * (keys.length + values.length);
        }

        @Override
        public void close() {}
    }

    @Override
    public Device device() {
        return Device.HOST;
    }

    @Override
    public Tensor zeros(DataType type, long... dims) {
        Shape shape = Shape.of(dims);
        return new Tensor(HostBuffer.allocate(type, shape.elements()), shape);
    }

    @Override
    public Tensor upload(HostBuffer source, long... dims) {
        return Tensor.of(source, dims);
    }

    @Override
    public Weight prepare(MatrixSource source, WeightType type, int segments) {
        HostBuffer all = source.read(0, source.rows());
        return switch (type) {
            case F32 -> stored(all.to(DataType.F32), source, type, segments);
            case BF16 -> stored(all.to(DataType.BF16), source, type, segments);
            case F16 -> stored(all.to(DataType.F16), source, type, segments);
            case Q8 -> quantised(all.toFloats(), source, segments);
        };
    }

    private static Stored stored(HostBuffer values, MatrixSource source, WeightType type, int segments) {
        return new Stored(values, new float[0], source.rows(), source.columns(), type, segments);
    }

    private static Stored quantised(float[] all, MatrixSource source, int segments) {
        int columns = source.columns();
        int blocks = (columns + WeightType.BLOCK - 1) / WeightType.BLOCK;
        byte[] bytes = new byte[all.length];
        float[] scales = new float[source.rows() * blocks];
        for (int r = 0; r < source.rows(); r++) {
            for (int from = 0; from < columns; from += WeightType.BLOCK) {
                int to = Math.min(columns, from + WeightType.BLOCK);
                float most = 0;
                for (int c = from; c < to; c++) {
                    most = Math.max(most, Math.abs(all[r * columns + c]));
                }
                float scale = most / 127;
                scales[r * blocks + from / WeightType.BLOCK] = scale;
                for (int c = from; c < to; c++) {
                    bytes[r * columns + c] = (byte) (scale == 0 ? 0 : Math.round(all[r * columns + c] / scale));
                }
            }
        }
        return new Stored(HostBuffer.of(DataType.I8, bytes), scales, source.rows(), columns, WeightType.Q8, segments);
    }

    @Override
    public CacheBlocks cache(DataType type, int blocks, int blockSize, int heads, int headSize) {
        int size = blocks * blockSize * heads * headSize;
        return new Cache(new float[size], new float[size], blocks, blockSize, heads, headSize);
    }

    private float[] widened(Stored w, int r) {
        int columns = w.columns();
        if (row.length < columns) {
            row = new float[columns];
        }
        int at = r * columns;
        switch (w.type()) {
            case F32 -> System.arraycopy(w.values().floats(), at, row, 0, columns);
            case BF16 -> {
                short[] bits = w.values().shorts();
                for (int c = 0; c < columns; c++) {
                    row[c] = Float.intBitsToFloat(bits[at + c] << 16);
                }
            }
            case F16 -> {
                short[] bits = w.values().shorts();
                for (int c = 0; c < columns; c++) {
                    row[c] = Half.f16ToFloat(bits[at + c]);
                }
            }
            case Q8 -> {
                byte[] bytes = w.values().byteArray();
                int scaleAt = r * w.blocks();
                for (int c = 0; c < columns; c++) {
                    row[c] = bytes[at + c] * w.scales()[scaleAt + c / WeightType.BLOCK];
                }
            }
        }
        return row;
    }

    @Override
    public void embed(Weight table, int[] ids, int firstRow, Tensor out) {
        float[] to = floats(out);
        int columns = table.columns();
        for (int t = 0; t < ids.length; t++) {
            int r = ids[t] - firstRow;
            if (r >= 0 && r < table.rows()) {
                System.arraycopy(widened((Stored) table, r), 0, to, t * columns, columns);
            } else {
                Arrays.fill(to, t * columns, (t + 1) * columns, 0);
            }
        }
    }

    @Override
    public void rmsNorm(Tensor x, Tensor weight, float epsilon, Tensor out) {
        float[] from = floats(x);
        float[] to = floats(out);
        float[] w = floats(weight);
        for (int at = 0; at < from.length; at += w.length) {
            double squares = 0;
            for (int i = 0; i < w.length; i++) {
                squares += from[at + i] * from[at + i];
            }
            float scale = (float) (1 / Math.sqrt(squares / w.length + epsilon));
            for (int i = 0; i < w.length; i++) {
                to[at + i] = from[at + i] * scale * w[i];
            }
        }
    }

    @Override
    public void addRmsNorm(Tensor x, Tensor y, Tensor weight, float epsilon, Tensor out) {
        add(x, y);
        rmsNorm(x, weight, epsilon, out);
    }

    @Override
    public void linear(Tensor x, Weight weight, @Nullable Tensor bias, Tensor out) {
        float[] from = floats(x);
        float[] to = floats(out);
        int in = weight.columns();
        for (int r = 0; r < weight.rows(); r++) {
            float[] w = widened((Stored) weight, r);
            float start = bias == null ? 0 : floats(bias)[r];
            for (int t = 0; t < from.length / in; t++) {
                to[t * weight.rows() + r] = start + dot(w, 0, from, t * in, in);
            }
        }
    }

    /** Four sums, so that one addition need not wait for the one before. */
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

    @Override
    public void rotate(Tensor heads, Tensor cos, Tensor sin, BatchLayout layout, int headSize) {
        float[] x = floats(heads);
        float[] c = floats(cos);
        float[] n = floats(sin);
        int width = (int) heads.shape().dim(1);
        int half = headSize / 2;
        for (int s = 0; s < layout.sequences(); s++) {
            int first = layout.queryStarts()[s];
            for (int token = first; token < layout.queryStarts()[s + 1]; token++) {
                int angle = (layout.firstPosition(s) + token - first) * half;
                for (int at = token * width; at < (token + 1) * width; at += headSize) {
                    for (int i = 0; i < half; i++) {
                        float a = x[at + i];
                        float b = x[at + half + i];
                        x[at + i] = a * c[angle + i] - b * n[angle + i];
                        x[at + half + i] = b * c[angle + i] + a * n[angle + i];
                    }
                }
            }
        }
    }

    @Override
    public void writeCache(Tensor keys, Tensor values, CacheBlocks cache, BatchLayout layout) {
        Cache to = (Cache) cache;
        int width = to.width();
        for (int s = 0; s < layout.sequences(); s++) {
            int first = layout.queryStarts()[s];
            for (int token = first; token < layout.queryStarts()[s + 1]; token++) {
                int at = to.at(layout.blockTables()[s], layout.firstPosition(s) + token - first);
                for (int i = 0; i < width; i++) {
                    to.keys()[at + i] = floats(keys)[token * width + i];
                    to.values()[at + i] = floats(values)[token * width + i];
                }
            }
        }
    }

    @Override
    public void attention(Tensor query, CacheBlocks cache, BatchLayout layout, Tensor out) {
        Cache from = (Cache) cache;
        int heads = (int) query.shape().dim(1) / from.headSize();
        for (int s = 0; s < layout.sequences(); s++) {
            int first = layout.queryStarts()[s];
            for (int token = first; token < layout.queryStarts()[s + 1]; token++) {
                int context = layout.firstPosition(s) + token - first + 1;
                for (int head = 0; head < heads; head++) {
                    int at = (token * heads + head) * from.headSize();
                    int skip = head * from.heads() / heads * from.headSize();
                    attend(floats(query), at, from, layout.blockTables()[s], skip, context, floats(out));
                }
            }
        }
    }

    private void attend(float[] q, int at, Cache cache, int[] table, int skip, int context, float[] out) {
        int size = cache.headSize();
        if (scores.length < context) {
            scores = new float[context];
        }
        float most = Float.NEGATIVE_INFINITY;
        for (int p = 0; p < context; p++) {
            scores[p] = dot(q, at, cache.keys(), cache.at(table, p) + skip, size) / (float) Math.sqrt(size);
            most = Math.max(most, scores[p]);
        }
        float sum = 0;
        for (int p = 0; p < context; p++) {
            scores[p] = (float) Math.exp(scores[p] - most);
            sum += scores[p];
        }
        Arrays.fill(out, at, at + size, 0);
        for (int p = 0; p < context; p++) {
            int value = cache.at(table, p) + skip;
            float share = scores[p] / sum;
            for (int i = 0; i < size; i++) {
                out[at + i] += share * cache.values()[value + i];
            }
        }
    }

    @Override
    public void swiGlu(Tensor gate, Tensor up) {
        float[] g = floats(gate);
        float[] u = floats(up);
        for (int i = 0; i < g.length; i++) {
            g[i] = g[i] / (1 + (float) Math.exp(-g[i])) * u[i];
        }
    }

    @Override
    public void add(Tensor x, Tensor y) {
        float[] to = floats(x);
        float[] from = floats(y);
        for (int i = 0; i < to.length; i++) {
            to[i] += from[i];
        }
    }

    @Override
    public void gatherRows(Tensor x, int[] rows, Tensor out) {
        int width = (int) x.shape().dim(1);
        for (int i = 0; i < rows.length; i++) {
            System.arraycopy(floats(x), rows[i] * width, floats(out), i * width, width);
        }
    }

    @Override
    public void argmax(Tensor x, int[] out) {
        float[] all = floats(x);
        int n = (int) x.shape().dim(1);
        for (int r = 0; r < x.shape().dim(0); r++) {
            int best = 0;
            for (int i = 1; i < n; i++) {
                if (all[r * n + i] > all[r * n + best]) {
                    best = i;
                }
            }
            out[r] = best;
        }
    }

    private static float[] floats(Tensor tensor) {
        return ((HostBuffer) tensor.buffer()).floats();
    }

    @Override
    public void close() {}
}
