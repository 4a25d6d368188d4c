package org.lockstep.simd;

import java.util.Arrays;

/**
 * Sums of two runs of f32, in vectors as soon as they are compiled and in plain Java before that and elsewhere: the same bits but
 * for those of NaN, which depend on how the JIT ordered its operands.
 *
 * <p>So it sees sums that are no number, at little cost: each sum times 0 is added up, which stays 0 for finite ones. Keeps its
 * scratch and what it saw; confined to one thread.
 */
public final class Sums {
    /** Fewer are added one by one. */
    private static final int FEW = 32;

    /** Elements that are tried as vectors and in plain Java together. */
    private static final int COLUMN = 16;

    private static final int SLICE = 2048;

    private static final int RUN = 1024;

    private final boolean vectors;
    private final Trial trial = new Trial();
    private final float[] left = new float[RUN];
    private final float[] right = new float[RUN];
    private final float[] zeros = new float[RUN]; // the sums times 0, added up
    private int seen; // entries of zeros in use
    private float zero; // the others' likewise

    private Sums(boolean vectors) {
        this.vectors = vectors;
    }

    /** Vectors where this JVM has them. */
    public static Sums create() {
        return new Sums(Arithmetic.isVectorEnabled());
    }

    /** Plain Java. */
    static Sums plain() {
        return new Sums(false);
    }

    /** {@code out = a + b}, of {@code count} elements; {@code out} may be one of the two, at the same element. */
    public void add(float[] a, int aAt, float[] b, int bAt, float[] out, int outAt, int count) {
        if (count < FEW) {
            zero += oneByOne(a, aAt, b, bAt, out, outAt, count);
        } else if (trial.over) {
            zero += VectorRows.add(a, aAt, b, bAt, out, outAt, count);
        } else if (vectors) {
            int slice;
            for (int from = 0; from < count; from += slice) { // each of them teaches the JIT
                slice = Math.min(SLICE, count - from);
                tryVectors(a, aAt + from, b, bAt + from, out, outAt + from, slice);
            }
        } else {
            plain(a, aAt, b, bAt, out, outAt, count);
        }
    }

    private void tryVectors(float[] a, int aAt, float[] b, int bAt, float[] out, int outAt, int count) {
        int dose = trial.dose(count / COLUMN);
        int cut = dose * COLUMN;
        long start = System.nanoTime();
        if (cut > 0) { // calls for nothing would teach the JIT that there is no loop
            zero += VectorRows.add(a, aAt, b, bAt, out, outAt, cut);
        }
        long between = System.nanoTime();
        plain(a, aAt + cut, b, bAt + cut, out, outAt + cut, count - cut);
        trial.measured(dose, between - start, count / COLUMN - dose, System.nanoTime() - between);
    }

    static float oneByOne(float[] a, int aAt, float[] b, int bAt, float[] out, int outAt, int count) {
        float zero = 0;
        for (int i = 0; i < count; i++) {
            float sum = a[aAt + i] + b[bAt + i];
            out[outAt + i] = sum;
            zero += sum * 0f;
        }
        return zero;
    }

    /** Every loop is over whole arrays from 0 on: those the JIT of Java 17 turns into vector instructions, and others not. */
    private void plain(float[] a, int aAt, float[] b, int bAt, float[] out, int outAt, int count) {
        int run;
        for (int from = 0; from < count; from += run) {
            run = Math.min(RUN, count - from);
            System.arraycopy(a, aAt + from, left, 0, run);
            System.arraycopy(b, bAt + from, right, 0, run);
            add(left, right, run);
            watch(left, run);
            System.arraycopy(left, 0, out, outAt + from, run);
        }
    }

    /** {@code left += right}, of the first {@code count} elements, in plain Java. */
    public static void add(float[] left, float[] right, int count) {
        for (int i = 0; i < count; i++) {
            left[i] += right[i];
        }
    }

    /** Looks at sums that others made: the first {@code count}, at most {@value #RUN}. */
    public void watch(float[] made, int count) {
        watch(zeros, made, count);
        seen = Math.max(seen, count);
    }

    private static void watch(float[] zeros, float[] made, int count) {
        for (int i = 0; i < count; i++) {
            zeros[i] += made[i] * 0f;
        }
    }

    /** Whether a sum was not finite since the last such question. */
    public boolean sawOdd() {
        float all = zero;
        for (int i = 0; i < seen; i++) {
            all += zeros[i];
        }
        zero = 0;
        seen = 0;
        if (all != 0) { // also where it is not a number
            Arrays.fill(zeros, 0);
            return true;
        }
        return false;
    }
}
