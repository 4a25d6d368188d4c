package org.lockstep.simd;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Tiles of one to four rows by one or two strips, two vectors at a time: of one strip with AVX2, of two with AVX-512.
 *
 * <p>The stride is a constant, as in {@link VectorTiles}, and each tile has a method of its own. The small ones are inlined where
 * they are called, so that nothing in them is taken out into methods of ours, as in {@link VectorBlocks}.
 */
final class VectorStrips {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();
    private static final int W = Arithmetic.LANES;

    private VectorStrips() {}

    static void strips(
            int rows,
            int count,
            float[] w,
            int at,
            int next,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt,
            int stride) {
        if (L == W) { // a strip that is alone is met twice, with the same result
            int beside = next == 0 ? 0 : W;
            two(rows, count, w, at, at + next, x, xAt, sums, sumsAt, sumsAt + beside, stride);
            return;
        }
        for (int i = 0; i < W; i += 2 * L) {
            two(rows, count, w, at + i, at + i + L, x, xAt, sums, sumsAt + i, sumsAt + i + L, stride);
        }
        if (next != 0) {
            strips(rows, count, w, at + next, 0, x, xAt, sums, sumsAt + W, stride);
        }
    }

    private static void two(
            int rows, int count, float[] w, int p, int q, float[] x, int xAt, float[] sums, int s, int t, int stride) {
        switch (rows) {
            case 1 -> two1(count, w, p, q, x, xAt, sums, s, t);
            case 2 -> two2(count, w, p, q, x, xAt, sums, s, t, stride);
            case 3 -> two3(count, w, p, q, x, xAt, sums, s, t, stride);
            case 4 -> two4(count, w, p, q, x, xAt, sums, s, t, stride);
            default -> throw new IllegalArgumentException("no tile has " + rows + " rows");
        }
    }

    private static void two1(int count, float[] w, int p, int q, float[] x, int xAt, float[] sums, int s, int t) {
        FloatVector s0 = FloatVector.fromArray(FLOATS, sums, s);
        FloatVector t0 = FloatVector.fromArray(FLOATS, sums, t);
        for (int k = 0; k < count; k++) {
            FloatVector b = FloatVector.broadcast(FLOATS, x[xAt + k]);
            s0 = FloatVector.fromArray(FLOATS, w, p + k * W).fma(b, s0);
            t0 = FloatVector.fromArray(FLOATS, w, q + k * W).fma(b, t0);
        }
        s0.intoArray(sums, s);
        t0.intoArray(sums, t);
    }

    private static void two2(
            int count, float[] w, int p, int q, float[] x, int xAt, float[] sums, int s, int t, int stride) {
        FloatVector s0 = FloatVector.fromArray(FLOATS, sums, s);
        FloatVector t0 = FloatVector.fromArray(FLOATS, sums, t);
        FloatVector s1 = FloatVector.fromArray(FLOATS, sums, s + stride);
        FloatVector t1 = FloatVector.fromArray(FLOATS, sums, t + stride);
        for (int k = 0; k < count; k++) {
            FloatVector w0 = FloatVector.fromArray(FLOATS, w, p + k * W);
            FloatVector w1 = FloatVector.fromArray(FLOATS, w, q + k * W);
            FloatVector b = FloatVector.broadcast(FLOATS, x[xAt + k * 2]);
            s0 = w0.fma(b, s0);
            t0 = w1.fma(b, t0);
            b = FloatVector.broadcast(FLOATS, x[xAt + k * 2 + 1]);
            s1 = w0.fma(b, s1);
            t1 = w1.fma(b, t1);
        }
        s0.intoArray(sums, s);
        t0.intoArray(sums, t);
        s1.intoArray(sums, s + stride);
        t1.intoArray(sums, t + stride);
    }

    private static void two3(
            int count, float[] w, int p, int q, float[] x, int xAt, float[] sums, int s, int t, int stride) {
        FloatVector s0 = FloatVector.fromArray(FLOATS, sums, s);
        FloatVector t0 = FloatVector.fromArray(FLOATS, sums, t);
        FloatVector s1 = FloatVector.fromArray(FLOATS, sums, s + stride);
        FloatVector t1 = FloatVector.fromArray(FLOATS, sums, t + stride);
        FloatVector s2 = FloatVector.fromArray(FLOATS, sums, s + 2 * stride);
        FloatVector t2 = FloatVector.fromArray(FLOATS, sums, t + 2 * stride);
        for (int k = 0; k < count; k++) {
            FloatVector w0 = FloatVector.fromArray(FLOATS, w, p + k * W);
            FloatVector w1 = FloatVector.fromArray(FLOATS, w, q + k * W);
            FloatVector b = FloatVector.broadcast(FLOATS, x[xAt + k * 3]);
            s0 = w0.fma(b, s0);
            t0 = w1.fma(b, t0);
            b = FloatVector.broadcast(FLOATS, x[xAt + k * 3 + 1]);
            s1 = w0.fma(b, s1);
            t1 = w1.fma(b, t1);
            b = FloatVector.broadcast(FLOATS, x[xAt + k * 3 + 2]);
            s2 = w0.fma(b, s2);
            t2 = w1.fma(b, t2);
        }
        s0.intoArray(sums, s);
        t0.intoArray(sums, t);
        s1.intoArray(sums, s + stride);
        t1.intoArray(sums, t + stride);
        s2.intoArray(sums, s + 2 * stride);
        t2.intoArray(sums, t + 2 * stride);
    }

    private static void two4(
            int count, float[] w, int p, int q, float[] x, int xAt, float[] sums, int s, int t, int stride) {
        FloatVector s0 = FloatVector.fromArray(FLOATS, sums, s);
        FloatVector t0 = FloatVector.fromArray(FLOATS, sums, t);
        FloatVector s1 = FloatVector.fromArray(FLOATS, sums, s + stride);
        FloatVector t1 = FloatVector.fromArray(FLOATS, sums, t + stride);
        FloatVector s2 = FloatVector.fromArray(FLOATS, sums, s + 2 * stride);
        FloatVector t2 = FloatVector.fromArray(FLOATS, sums, t + 2 * stride);
        FloatVector s3 = FloatVector.fromArray(FLOATS, sums, s + 3 * stride);
        FloatVector t3 = FloatVector.fromArray(FLOATS, sums, t + 3 * stride);
        for (int k = 0; k < count; k++) {
            FloatVector w0 = FloatVector.fromArray(FLOATS, w, p + k * W);
            FloatVector w1 = FloatVector.fromArray(FLOATS, w, q + k * W);
            FloatVector b = FloatVector.broadcast(FLOATS, x[xAt + k * 4]);
            s0 = w0.fma(b, s0);
            t0 = w1.fma(b, t0);
            b = FloatVector.broadcast(FLOATS, x[xAt + k * 4 + 1]);
            s1 = w0.fma(b, s1);
            t1 = w1.fma(b, t1);
            b = FloatVector.broadcast(FLOATS, x[xAt + k * 4 + 2]);
            s2 = w0.fma(b, s2);
            t2 = w1.fma(b, t2);
            b = FloatVector.broadcast(FLOATS, x[xAt + k * 4 + 3]);
            s3 = w0.fma(b, s3);
            t3 = w1.fma(b, t3);
        }
        s0.intoArray(sums, s);
        t0.intoArray(sums, t);
        s1.intoArray(sums, s + stride);
        t1.intoArray(sums, t + stride);
        s2.intoArray(sums, s + 2 * stride);
        t2.intoArray(sums, t + 2 * stride);
        s3.intoArray(sums, s + 3 * stride);
        t3.intoArray(sums, t + 3 * stride);
    }
}
