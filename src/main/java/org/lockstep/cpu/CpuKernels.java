package org.lockstep.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;

/**
 * The maths of a decoder in plain Java over heap arrays: weights f32, bf16 or f16, activations f32.
 *
 * <p>A token's result has the same bits in every batch and on every machine with the same {@link Math#exp}. Shapes that do
 * not fit together are an {@link IllegalArgumentException} naming both, thrown before anything is written. One thread at a
 * time; {@link #close} has nothing to give back.
 */
public final class CpuKernels implements Kernels {
    private final MatrixProduct product = new MatrixProduct();
    private final PagedAttention attention = new PagedAttention();

    private CpuKernels() {}

    public static CpuKernels create() {
        return new CpuKernels();
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
    public void embed(Tensor table, int[] ids, int firstRow, Tensor out) {
        require(
                table.shape().rank() == 2
                        && out.shape().equals(Shape.of(ids.length, table.shape().dim(1))),
                "embed",
                table,
                ids.length + " ids",
                out);
        HostBuffer rows = host(table);
        HostBuffer target = floats(out);
        int hidden = (int) table.shape().dim(1);
        for (int t = 0; t < ids.length; t++) {
            int row = ids[t] - firstRow;
            int at = target.offset() + t * hidden;
            if (row >= 0 && row < table.shape().dim(0)) {
                Widening.widen(rows, row * hidden, hidden, target.floats(), at);
            } else {
                Arrays.fill(target.floats(), at, at + hidden, 0f);
            }
        }
    }

    @Override
    public void rmsNorm(Tensor x, Tensor weight, float epsilon, Tensor out) {
        long hidden = x.shape().dim(-1);
        require(
                hidden > 0 && out.shape().equals(x.shape()) && weight.shape().equals(Shape.of(hidden)),
                "rmsNorm",
                x,
                weight.shape(),
                out);
        HostBuffer from = floats(x);
        HostBuffer to = floats(out);
        HostBuffer scale = floats(weight);
        int size = (int) hidden;
        for (int at = 0; at < from.size(); at += size) {
            normRow(
                    from.floats(),
                    from.offset() + at,
                    scale.floats(),
                    scale.offset(),
                    size,
                    epsilon,
                    to.floats(),
                    to.offset() + at);
        }
    }

    private static void normRow(
            float[] x, int xAt, float[] weight, int weightAt, int size, float epsilon, float[] out, int outAt) {
        double squares = 0;
        for (int i = 0; i < size; i++) {
            double v = x[xAt + i];
            squares += v * v;
        }
        float scale = (float) (1 / Math.sqrt(squares / size + epsilon));
        for (int i = 0; i < size; i++) {
            out[outAt + i] = x[xAt + i] * scale * weight[weightAt + i];
        }
    }

    @Override
    public void linear(Tensor x, Tensor weight, @Nullable Tensor bias, int segments, Tensor out) {
        require(
                x.shape().rank() == 2
                        && weight.shape().rank() == 2
                        && x.shape().dim(1) == weight.shape().dim(1)
                        && out.shape()
                                .equals(Shape.of(
                                        x.shape().dim(0), weight.shape().dim(0)))
                        && (bias == null
                                || bias.shape().equals(Shape.of(weight.shape().dim(0)))),
                "linear",
                x,
                weight.shape() + (bias == null ? "" : " + " + bias.shape()),
                out);
        int in = (int) x.shape().dim(1);
        if (segments < 1 || in % segments != 0) {
            throw new IllegalArgumentException(
                    "linear: in (" + in + ") is not divisible by segments (" + segments + ")");
        }
        product.multiply(new MatrixProduct.Operands(
                floats(x),
                host(weight),
                bias == null ? null : floats(bias),
                floats(out),
                (int) x.shape().dim(0),
                in,
                (int) weight.shape().dim(0),
                segments));
    }

    @Override
    public void rotate(Tensor heads, Tensor cos, Tensor sin, BatchLayout layout, int headSize) {
        int width = (int) heads.shape().dim(1);
        int half = headSize / 2;
        require(
                heads.shape().dim(0) == layout.tokens()
                        && headSize % 2 == 0
                        && width % headSize == 0
                        && cos.shape().dim(1) == half
                        && cos.shape().equals(sin.shape())
                        && Arrays.stream(layout.contextLengths())
                                .allMatch(c -> c <= cos.shape().dim(0)),
                "rotate",
                heads,
                cos.shape() + " for " + layout.tokens() + " tokens, head size " + headSize,
                heads);
        HostBuffer x = floats(heads);
        HostBuffer cosines = floats(cos);
        HostBuffer sines = floats(sin);
        for (int s = 0; s < layout.sequences(); s++) {
            int first = layout.queryStarts()[s];
            for (int token = first; token < layout.queryStarts()[s + 1]; token++) {
                int position = layout.firstPosition(s) + token - first;
                for (int head = 0; head < width; head += headSize) {
                    rotateHead(
                            x.floats(),
                            x.offset() + token * width + head,
                            cosines.floats(),
                            cosines.offset() + position * half,
                            sines.floats(),
                            sines.offset() + position * half,
                            half);
                }
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

    @Override
    public void writeCache(Tensor step, Tensor cache, BatchLayout layout) {
        int width = (int) step.shape().dim(1);
        requireCache("writeCache", step, cache, layout);
        require(cache.shape().dim(2) == width, "writeCache", step, cache.shape(), cache);
        HostBuffer from = floats(step);
        HostBuffer to = floats(cache);
        for (int s = 0; s < layout.sequences(); s++) {
            int first = layout.queryStarts()[s];
            for (int token = first; token < layout.queryStarts()[s + 1]; token++) {
                int position = layout.firstPosition(s) + token - first;
                int block = layout.blockTables()[s][position / layout.blockSize()];
                int slot = block * layout.blockSize() + position % layout.blockSize();
                System.arraycopy(
                        from.floats(), from.offset() + token * width, to.floats(), to.offset() + slot * width, width);
            }
        }
    }

    @Override
    public void attention(Tensor query, Tensor keys, Tensor values, BatchLayout layout, int headSize, Tensor out) {
        requireCache("attention", query, keys, layout);
        int heads = (int) query.shape().dim(1) / headSize;
        int kvHeads = (int) keys.shape().dim(2) / headSize;
        require(
                query.shape().dim(1) == (long) heads * headSize
                        && keys.shape().dim(2) == (long) kvHeads * headSize
                        && kvHeads > 0
                        && heads % kvHeads == 0
                        && values.shape().equals(keys.shape())
                        && out.shape().equals(query.shape()),
                "attention",
                query,
                keys.shape() + " and " + values.shape() + ", head size " + headSize,
                out);
        attention.attend(floats(query), heads, floats(keys), floats(values), kvHeads, layout, headSize, floats(out));
    }

    @Override
    public void swiGlu(Tensor gate, Tensor up) {
        require(gate.shape().equals(up.shape()), "swiGlu", gate, up.shape(), gate);
        HostBuffer a = floats(gate);
        HostBuffer b = floats(up);
        float[] g = a.floats();
        float[] u = b.floats();
        for (int i = 0; i < a.size(); i++) {
            float v = g[a.offset() + i];
            g[a.offset() + i] = v / (1 + (float) Math.exp(-v)) * u[b.offset() + i];
        }
    }

    @Override
    public void add(Tensor x, Tensor y) {
        require(x.shape().equals(y.shape()), "add", x, y.shape(), x);
        HostBuffer a = floats(x);
        HostBuffer b = floats(y);
        float[] to = a.floats();
        float[] from = b.floats();
        for (int i = 0; i < a.size(); i++) {
            to[a.offset() + i] += from[b.offset() + i];
        }
    }

    @Override
    public void gatherRows(Tensor x, int[] rows, Tensor out) {
        require(
                x.shape().rank() == 2
                        && out.shape().equals(Shape.of(rows.length, x.shape().dim(1))),
                "gatherRows",
                x,
                rows.length + " rows",
                out);
        for (int i = 0; i < rows.length; i++) {
            host(out.rows(i, 1)).copyFrom(host(x.rows(rows[i], 1)));
        }
    }

    @Override
    public void close() {}

    private static HostBuffer host(Tensor tensor) {
        Buffer buffer = tensor.buffer();
        if (buffer instanceof HostBuffer host) {
            return host;
        }
        throw new IllegalArgumentException(
                "a tensor on " + buffer.device() + " was given to kernels of " + Device.HOST);
    }

    private static HostBuffer floats(Tensor tensor) {
        HostBuffer host = host(tensor);
        if (host.type() != DataType.F32) {
            throw new IllegalArgumentException("a tensor of " + host.type() + " stands where f32 is computed");
        }
        return host;
    }

    private static void requireCache(String kernel, Tensor step, Tensor cache, BatchLayout layout) {
        require(
                step.shape().rank() == 2
                        && step.shape().dim(0) == layout.tokens()
                        && cache.shape().rank() == 3
                        && cache.shape().dim(1) == layout.blockSize(),
                kernel,
                step,
                cache.shape() + " for " + layout.tokens() + " tokens, block size " + layout.blockSize(),
                cache);
    }

    private static void require(boolean fits, String kernel, Tensor x, Object with, Tensor out) {
        if (!fits) {
            throw new IllegalArgumentException(
                    kernel + ": " + x.shape() + " with " + with + " does not give " + out.shape());
        }
    }
}
