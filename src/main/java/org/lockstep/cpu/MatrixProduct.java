package org.lockstep.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.HostBuffer;

/**
 * The product {@code x · weightᵀ} in plain Java.
 *
 * <p>Each segment of each dot product is summed from its first column to its last with one rounding per product and one
 * per sum, and the segments' sums as a tree. That order is the same on both ways through the matrix, so the way may be
 * chosen by speed alone: few tokens take four weight rows at a time, four independent chains that keep the adders busy;
 * many tokens are transposed first, so that one weight meets a whole array of tokens, a loop the JIT vectorises.
 * Products are not fused: without FMA hardware {@link Math#fma} takes microseconds.
 *
 * <p>Owns its scratch memory, which grows to the largest product seen. One thread at a time.
 */
final class MatrixProduct {
    /** From this many tokens on it pays to transpose them; measured on AVX2. */
    private static final int MANY_TOKENS = 16;

    /** From this many tokens on it pays to widen a bf16 row once for all; measured. */
    private static final int WIDEN_FIRST = 3;

    private static final int MAX_WIDTH = 64;
    private static final int ROWS = 4;

    private float[] widened = new float[0];
    private float[] sums = new float[0]; // (4, segments)
    private float[][] columns = new float[0][]; // (in, width or more): the tokens of one chunk, transposed
    private float[][] columnSums = new float[0][]; // (segments, width)

    /**
     * One product.
     *
     * @param x (tokens, in), f32
     * @param weight (out, in), of any floating type
     * @param bias (out), f32
     * @param y (tokens, out), f32
     */
    record Operands(
            HostBuffer x,
            HostBuffer weight,
            @Nullable HostBuffer bias,
            HostBuffer y,
            int tokens,
            int in,
            int out,
            int segments) {
        int run() {
            return in / segments;
        }

        void store(int token, int row, float sum) {
            y.floats()[y.offset() + token * out + row] = bias == null ? sum : sum + bias.floats()[bias.offset() + row];
        }
    }

    void multiply(Operands a) {
        int from = 0;
        while (a.tokens - from >= MANY_TOKENS) {
            int count = Math.min(MAX_WIDTH, a.tokens - from);
            manyTokens(a, from, count);
            from += count;
        }
        if (from < a.tokens) {
            fewTokens(a, from);
        }
    }

    private void fewTokens(Operands a, int from) {
        if (sums.length < ROWS * a.segments) {
            sums = new float[ROWS * a.segments];
        }
        for (int row = 0; row < a.out; row += ROWS) {
            int rows = Math.min(ROWS, a.out - row);
            boolean shorts = a.weight.type() == DataType.BF16 && rows == ROWS && a.tokens - from < WIDEN_FIRST;
            float[] ws = shorts ? widened : floats(a.weight, row * a.in, rows * a.in);
            int rowAt = ws == widened ? 0 : a.weight.offset() + row * a.in;
            for (int token = from; token < a.tokens; token++) {
                if (shorts) {
                    dotBf16Rows(a, row, token);
                } else {
                    dotRows(a, ws, rowAt, rows, token);
                }
                for (int r = 0; r < rows; r++) {
                    a.store(token, row + r, tree(sums, r * a.segments, a.segments));
                }
            }
        }
    }

    private void dotRows(Operands a, float[] w, int rowAt, int rows, int token) {
        float[] x = a.x.floats();
        int xAt = a.x.offset() + token * a.in;
        int run = a.run();
        for (int segment = 0; segment < a.segments; segment++) {
            int skip = segment * run;
            if (rows == ROWS) {
                dot4(w, rowAt + skip, a.in, x, xAt + skip, run, sums, segment, a.segments);
            } else {
                for (int r = 0; r < rows; r++) {
                    sums[r * a.segments + segment] = dot(w, rowAt + r * a.in + skip, x, xAt + skip, run);
                }
            }
        }
    }

    private void dotBf16Rows(Operands a, int row, int token) {
        int rowAt = a.weight.offset() + row * a.in;
        int xAt = a.x.offset() + token * a.in;
        int run = a.run();
        for (int segment = 0; segment < a.segments; segment++) {
            int skip = segment * run;
            dot4(a.weight.shorts(), rowAt + skip, a.in, a.x.floats(), xAt + skip, run, sums, segment, a.segments);
        }
    }

    private static float dot(float[] w, int wAt, float[] x, int xAt, int count) {
        float sum = 0;
        for (int k = 0; k < count; k++) {
            sum += w[wAt + k] * x[xAt + k];
        }
        return sum;
    }

    private static void dot4(
            float[] w, int wAt, int stride, float[] x, int xAt, int count, float[] sums, int sumsAt, int sumsStride) {
        int w1 = wAt + stride;
        int w2 = w1 + stride;
        int w3 = w2 + stride;
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        for (int k = 0; k < count; k++) {
            float v = x[xAt + k];
            s0 += w[wAt + k] * v;
            s1 += w[w1 + k] * v;
            s2 += w[w2 + k] * v;
            s3 += w[w3 + k] * v;
        }
        sums[sumsAt] = s0;
        sums[sumsAt + sumsStride] = s1;
        sums[sumsAt + 2 * sumsStride] = s2;
        sums[sumsAt + 3 * sumsStride] = s3;
    }

    /** The same over bf16: for a token or two, widening in the loop is faster than a pass of its own. */
    private static void dot4(
            short[] w, int wAt, int stride, float[] x, int xAt, int count, float[] sums, int sumsAt, int sumsStride) {
        int w1 = wAt + stride;
        int w2 = w1 + stride;
        int w3 = w2 + stride;
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        for (int k = 0; k < count; k++) {
            float v = x[xAt + k];
            s0 += Float.intBitsToFloat(w[wAt + k] << 16) * v;
            s1 += Float.intBitsToFloat(w[w1 + k] << 16) * v;
            s2 += Float.intBitsToFloat(w[w2 + k] << 16) * v;
            s3 += Float.intBitsToFloat(w[w3 + k] << 16) * v;
        }
        sums[sumsAt] = s0;
        sums[sumsAt + sumsStride] = s1;
        sums[sumsAt + 2 * sumsStride] = s2;
        sums[sumsAt + 3 * sumsStride] = s3;
    }

    /** Adds {@code count} values as a balanced binary tree; the values are lost. */
    private static float tree(float[] values, int at, int count) {
        for (int stride = 1; stride < count; stride *= 2) {
            for (int i = 0; i + stride < count; i += 2 * stride) {
                values[at + i] += values[at + i + stride];
            }
        }
        return values[at];
    }

    private void manyTokens(Operands a, int from, int count) {
        transpose(a, from, count, count <= 16 ? 16 : count <= 32 ? 32 : MAX_WIDTH);
        for (int row = 0; row < a.out; row++) {
            float[] ws = floats(a.weight, row * a.in, a.in);
            int rowAt = ws == widened ? 0 : a.weight.offset() + row * a.in;
            for (int segment = 0; segment < a.segments; segment++) {
                sumColumns(ws, rowAt, segment * a.run(), (segment + 1) * a.run(), columnSums[segment]);
            }
            for (int stride = 1; stride < a.segments; stride *= 2) {
                for (int i = 0; i + stride < a.segments; i += 2 * stride) {
                    add(columnSums[i], columnSums[i + stride]);
                }
            }
            for (int t = 0; t < count; t++) {
                a.store(from + t, row, columnSums[0][t]);
            }
        }
    }

    private void transpose(Operands a, int from, int count, int width) {
        int widest = columns.length == 0 ? 0 : columns[0].length;
        if (columns.length < a.in || (a.in > 0 && widest < width)) {
            // Neither side shrinks: chunks of a step differ in width, its matrices in depth.
            columns = new float[Math.max(a.in, columns.length)][Math.max(width, widest)];
        }
        // These are few, and their length is the width of the loops.
        if (columnSums.length < a.segments || columnSums[0].length != width) {
            columnSums = new float[a.segments][width];
        }
        float[] x = a.x.floats();
        for (int t = 0; t < count; t++) {
            int xAt = a.x.offset() + (from + t) * a.in;
            for (int k = 0; k < a.in; k++) {
                columns[k][t] = x[xAt + k];
            }
        }
    }

    /** Sums columns {@code from} to {@code to - 1}, weighted, for each token. */
    private void sumColumns(float[] w, int wAt, int from, int to, float[] into) {
        Arrays.fill(into, 0);
        int k = from;
        for (; k + 4 <= to; k += 4) {
            addFour(into, w, wAt + k, columns[k], columns[k + 1], columns[k + 2], columns[k + 3]);
        }
        for (; k < to; k++) {
            addOne(into, w[wAt + k], columns[k]);
        }
    }

    private static void addFour(float[] c, float[] w, int at, float[] x0, float[] x1, float[] x2, float[] x3) {
        float w0 = w[at];
        float w1 = w[at + 1];
        float w2 = w[at + 2];
        float w3 = w[at + 3];
        for (int t = 0; t < c.length; t++) {
            c[t] = c[t] + w0 * x0[t] + w1 * x1[t] + w2 * x2[t] + w3 * x3[t];
        }
    }

    private static void addOne(float[] c, float w, float[] x) {
        for (int t = 0; t < c.length; t++) {
            c[t] = c[t] + w * x[t];
        }
    }

    private static void add(float[] a, float[] b) {
        for (int t = 0; t < a.length; t++) {
            a[t] += b[t];
        }
    }

    /** The array of an f32 weight itself, else {@link #widened} with these elements from its start. */
    private float[] floats(HostBuffer weight, int from, int count) {
        if (weight.type() == DataType.F32) {
            return weight.floats();
        }
        if (widened.length < count) {
            widened = new float[count];
        }
        Widening.widen(weight, from, count, widened, 0);
        return widened;
    }
}
