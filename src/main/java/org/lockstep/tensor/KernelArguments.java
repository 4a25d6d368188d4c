package org.lockstep.tensor;

import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What the arguments of {@link Kernels} must be to each other, the same on every device: shapes that do not fit are an
 * {@link IllegalArgumentException} naming them, before anything is written.
 */
public final class KernelArguments {
    private KernelArguments() {}

    public static void prepare(MatrixSource source, int segments) {
        if (segments < 1 || source.columns() % segments != 0) {
            throw new IllegalArgumentException(
                    "prepare: columns (" + source.columns() + ") are not divisible by segments (" + segments + ")");
        }
    }

    public static void embed(Weight table, int[] ids, Tensor out) {
        boolean fits = out.shape().equals(Shape.of(ids.length, table.columns()));
        if (!fits) {
            throw misfit("embed", Shape.of(table.rows(), table.columns()), ids.length + " ids", out.shape());
        }
    }

    public static void rmsNorm(Tensor x, Tensor weight, Tensor out) {
        long hidden = x.shape().dim(-1);
        boolean fits =
                hidden > 0 && out.shape().equals(x.shape()) && weight.shape().equals(Shape.of(hidden));
        if (!fits) {
            throw misfit("rmsNorm", x.shape(), weight.shape(), out.shape());
        }
    }

    public static void linear(Tensor x, Weight weight, @Nullable Tensor bias, Tensor out) {
        boolean fits = x.shape().rank() == 2
                && x.shape().dim(1) == weight.columns()
                && out.shape().equals(Shape.of(x.shape().dim(0), weight.rows()))
                && (bias == null || bias.shape().equals(Shape.of(weight.rows())));
        if (!fits) {
            throw misfit(
                    "linear",
                    x.shape(),
                    Shape.of(weight.rows(), weight.columns()) + (bias == null ? "" : " + " + bias.shape()),
                    out.shape());
        }
    }

    public static void rotate(Tensor heads, Tensor cos, Tensor sin, BatchLayout layout, int headSize) {
        boolean fits = heads.shape().dim(0) == layout.tokens()
                && headSize % 2 == 0
                && heads.shape().dim(1) % headSize == 0
                && cos.shape().dim(1) == headSize / 2
                && cos.shape().equals(sin.shape())
                && Arrays.stream(layout.contextLengths())
                        .allMatch(c -> c <= cos.shape().dim(0));
        if (!fits) {
            throw misfit(
                    "rotate",
                    heads.shape(),
                    cos.shape() + " for " + layout.tokens() + " tokens, head size " + headSize,
                    heads.shape());
        }
    }

    public static void writeCache(Tensor keys, Tensor values, CacheBlocks cache, BatchLayout layout) {
        Shape step = Shape.of(layout.tokens(), (long) cache.heads() * cache.headSize());
        boolean fits = keys.shape().equals(step) && layout.blockSize() == cache.blockSize();
        if (!fits) {
            throw misfit(
                    "writeCache",
                    keys.shape(),
                    "blocks of " + layout.blockSize(),
                    step + " in blocks of " + cache.blockSize());
        }
        if (!values.shape().equals(step)) {
            throw misfit("writeCache", values.shape(), keys.shape(), step);
        }
    }

    public static void attention(Tensor query, CacheBlocks cache, BatchLayout layout, Tensor out) {
        int headSize = cache.headSize();
        int heads = (int) query.shape().dim(1) / headSize;
        boolean fits = query.shape().equals(Shape.of(layout.tokens(), (long) heads * headSize))
                && heads % cache.heads() == 0
                && layout.blockSize() == cache.blockSize()
                && out.shape().equals(query.shape());
        if (!fits) {
            throw misfit(
                    "attention",
                    query.shape(),
                    cache.heads() + " key/value heads of " + headSize + " in blocks of " + cache.blockSize() + " for "
                            + layout.tokens() + " tokens in blocks of " + layout.blockSize(),
                    out.shape());
        }
    }

    public static void swiGlu(Tensor gate, Tensor up) {
        if (!gate.shape().equals(up.shape())) {
            throw misfit("swiGlu", gate.shape(), up.shape(), gate.shape());
        }
    }

    public static void add(Tensor x, Tensor y) {
        if (!x.shape().equals(y.shape())) {
            throw misfit("add", x.shape(), y.shape(), x.shape());
        }
    }

    public static void gatherRows(Tensor x, int[] rows, Tensor out) {
        boolean fits = x.shape().rank() == 2
                && out.shape().equals(Shape.of(rows.length, x.shape().dim(1)));
        if (!fits) {
            throw misfit("gatherRows", x.shape(), rows.length + " rows", out.shape());
        }
    }

    public static void sample(Tensor logits, Draws draws, int[] out) {
        long rows = logits.shape().dim(0);
        boolean fits = logits.shape().rank() == 2 && logits.shape().dim(1) > 0 && out.length >= rows;
        if (!fits) {
            throw misfit("sample", logits.shape(), draws.count() + " draws", out.length + " indices");
        }
        for (int draw = 0; draw < draws.count(); draw++) {
            Objects.checkIndex(draws.row(draw), rows);
        }
    }

    /** Texts are made where there is an error to be said, not at each call. */
    private static IllegalArgumentException misfit(String kernel, Object x, Object with, Object out) {
        return new IllegalArgumentException(kernel + ": " + x + " with " + with + " does not give " + out);
    }
}
