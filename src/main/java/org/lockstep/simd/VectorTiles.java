package org.lockstep.simd;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Tiles of one to four rows by four vectors, each in a method of its own that holds all its sums in registers.
 *
 * <p>Both strides are constants: only then does C2 take the checks of bounds out of the loop, and they cost half the speed.
 * Four rows by four vectors are more sums than AVX2 has registers for: there a tile is two of four rows by two vectors. More rows
 * would seem to fit the 32 registers of AVX-512, but C2 then keeps some sums in memory: six run at a fifth of the speed of four.
 */
final class VectorTiles {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final int L = FLOATS.length();
    private static final int W = 4 * L;

    private VectorTiles() {}

    private static FloatVector load(float[] values, int at) {
        return FloatVector.fromArray(FLOATS, values, at);
    }

    private static FloatVector all(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }

    static void tile(
            int rows, int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        switch (rows) {
            case 1 -> tile1(count, w, wAt, x, xAt, sums, sumsAt);
            case 2 -> tile2(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
            case 3 -> tile3(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
            case 4 -> {
                if (L == 16) {
                    tile4(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
                } else {
                    half4(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
                    half4(count, w, wAt + 2 * L, x, xAt, sums, sumsAt + 2 * L, sumsStride);
                }
            }
            default -> throw new IllegalArgumentException("no tile has " + rows + " rows");
        }
    }

    private static void tile1(int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt) {
        int at0 = sumsAt;
        FloatVector s00 = load(sums, at0);
        FloatVector s01 = load(sums, at0 + L);
        FloatVector s02 = load(sums, at0 + 2 * L);
        FloatVector s03 = load(sums, at0 + 3 * L);
        for (int k = 0; k < count; k++) {
            int p = wAt + k * W;
            int q = xAt + k;
            FloatVector b0 = all(x[q]);
            FloatVector a = load(w, p);
            s00 = a.fma(b0, s00);
            a = load(w, p + L);
            s01 = a.fma(b0, s01);
            a = load(w, p + 2 * L);
            s02 = a.fma(b0, s02);
            a = load(w, p + 3 * L);
            s03 = a.fma(b0, s03);
        }
        s00.intoArray(sums, at0);
        s01.intoArray(sums, at0 + L);
        s02.intoArray(sums, at0 + 2 * L);
        s03.intoArray(sums, at0 + 3 * L);
    }

    /** One vector of w at a time: with all four at hand C2 of Java 17 is a third slower. */
    private static void tile2(
            int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        int at0 = sumsAt;
        int at1 = at0 + sumsStride;
        FloatVector s00 = load(sums, at0);
        FloatVector s01 = load(sums, at0 + L);
        FloatVector s02 = load(sums, at0 + 2 * L);
        FloatVector s03 = load(sums, at0 + 3 * L);
        FloatVector s10 = load(sums, at1);
        FloatVector s11 = load(sums, at1 + L);
        FloatVector s12 = load(sums, at1 + 2 * L);
        FloatVector s13 = load(sums, at1 + 3 * L);
        for (int k = 0; k < count; k++) {
            int p = wAt + k * W;
            int q = xAt + k * 2;
            FloatVector b0 = all(x[q]);
            FloatVector b1 = all(x[q + 1]);
            FloatVector a = load(w, p);
            s00 = a.fma(b0, s00);
            s10 = a.fma(b1, s10);
            a = load(w, p + L);
            s01 = a.fma(b0, s01);
            s11 = a.fma(b1, s11);
            a = load(w, p + 2 * L);
            s02 = a.fma(b0, s02);
            s12 = a.fma(b1, s12);
            a = load(w, p + 3 * L);
            s03 = a.fma(b0, s03);
            s13 = a.fma(b1, s13);
        }
        s00.intoArray(sums, at0);
        s01.intoArray(sums, at0 + L);
        s02.intoArray(sums, at0 + 2 * L);
        s03.intoArray(sums, at0 + 3 * L);
        s10.intoArray(sums, at1);
        s11.intoArray(sums, at1 + L);
        s12.intoArray(sums, at1 + 2 * L);
        s13.intoArray(sums, at1 + 3 * L);
    }

    private static void tile3(
            int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        int at0 = sumsAt;
        int at1 = at0 + sumsStride;
        int at2 = at1 + sumsStride;
        FloatVector s00 = load(sums, at0);
        FloatVector s01 = load(sums, at0 + L);
        FloatVector s02 = load(sums, at0 + 2 * L);
        FloatVector s03 = load(sums, at0 + 3 * L);
        FloatVector s10 = load(sums, at1);
        FloatVector s11 = load(sums, at1 + L);
        FloatVector s12 = load(sums, at1 + 2 * L);
        FloatVector s13 = load(sums, at1 + 3 * L);
        FloatVector s20 = load(sums, at2);
        FloatVector s21 = load(sums, at2 + L);
        FloatVector s22 = load(sums, at2 + 2 * L);
        FloatVector s23 = load(sums, at2 + 3 * L);
        for (int k = 0; k < count; k++) {
            int p = wAt + k * W;
            int q = xAt + k * 3;
            FloatVector w0 = load(w, p);
            FloatVector w1 = load(w, p + L);
            FloatVector w2 = load(w, p + 2 * L);
            FloatVector w3 = load(w, p + 3 * L);
            FloatVector b = all(x[q]);
            s00 = w0.fma(b, s00);
            s01 = w1.fma(b, s01);
            s02 = w2.fma(b, s02);
            s03 = w3.fma(b, s03);
            b = all(x[q + 1]);
            s10 = w0.fma(b, s10);
            s11 = w1.fma(b, s11);
            s12 = w2.fma(b, s12);
            s13 = w3.fma(b, s13);
            b = all(x[q + 2]);
            s20 = w0.fma(b, s20);
            s21 = w1.fma(b, s21);
            s22 = w2.fma(b, s22);
            s23 = w3.fma(b, s23);
        }
        s00.intoArray(sums, at0);
        s01.intoArray(sums, at0 + L);
        s02.intoArray(sums, at0 + 2 * L);
        s03.intoArray(sums, at0 + 3 * L);
        s10.intoArray(sums, at1);
        s11.intoArray(sums, at1 + L);
        s12.intoArray(sums, at1 + 2 * L);
        s13.intoArray(sums, at1 + 3 * L);
        s20.intoArray(sums, at2);
        s21.intoArray(sums, at2 + L);
        s22.intoArray(sums, at2 + 2 * L);
        s23.intoArray(sums, at2 + 3 * L);
    }

    private static void tile4(
            int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        int at0 = sumsAt;
        int at1 = at0 + sumsStride;
        int at2 = at1 + sumsStride;
        int at3 = at2 + sumsStride;
        FloatVector s00 = load(sums, at0);
        FloatVector s01 = load(sums, at0 + L);
        FloatVector s02 = load(sums, at0 + 2 * L);
        FloatVector s03 = load(sums, at0 + 3 * L);
        FloatVector s10 = load(sums, at1);
        FloatVector s11 = load(sums, at1 + L);
        FloatVector s12 = load(sums, at1 + 2 * L);
        FloatVector s13 = load(sums, at1 + 3 * L);
        FloatVector s20 = load(sums, at2);
        FloatVector s21 = load(sums, at2 + L);
        FloatVector s22 = load(sums, at2 + 2 * L);
        FloatVector s23 = load(sums, at2 + 3 * L);
        FloatVector s30 = load(sums, at3);
        FloatVector s31 = load(sums, at3 + L);
        FloatVector s32 = load(sums, at3 + 2 * L);
        FloatVector s33 = load(sums, at3 + 3 * L);
        for (int k = 0; k < count; k++) {
            int p = wAt + k * W;
            int q = xAt + k * 4;
            FloatVector w0 = load(w, p);
            FloatVector w1 = load(w, p + L);
            FloatVector w2 = load(w, p + 2 * L);
            FloatVector w3 = load(w, p + 3 * L);
            FloatVector b = all(x[q]);
            s00 = w0.fma(b, s00);
            s01 = w1.fma(b, s01);
            s02 = w2.fma(b, s02);
            s03 = w3.fma(b, s03);
            b = all(x[q + 1]);
            s10 = w0.fma(b, s10);
            s11 = w1.fma(b, s11);
            s12 = w2.fma(b, s12);
            s13 = w3.fma(b, s13);
            b = all(x[q + 2]);
            s20 = w0.fma(b, s20);
            s21 = w1.fma(b, s21);
            s22 = w2.fma(b, s22);
            s23 = w3.fma(b, s23);
            b = all(x[q + 3]);
            s30 = w0.fma(b, s30);
            s31 = w1.fma(b, s31);
            s32 = w2.fma(b, s32);
            s33 = w3.fma(b, s33);
        }
        s00.intoArray(sums, at0);
        s01.intoArray(sums, at0 + L);
        s02.intoArray(sums, at0 + 2 * L);
        s03.intoArray(sums, at0 + 3 * L);
        s10.intoArray(sums, at1);
        s11.intoArray(sums, at1 + L);
        s12.intoArray(sums, at1 + 2 * L);
        s13.intoArray(sums, at1 + 3 * L);
        s20.intoArray(sums, at2);
        s21.intoArray(sums, at2 + L);
        s22.intoArray(sums, at2 + 2 * L);
        s23.intoArray(sums, at2 + 3 * L);
        s30.intoArray(sums, at3);
        s31.intoArray(sums, at3 + L);
        s32.intoArray(sums, at3 + 2 * L);
        s33.intoArray(sums, at3 + 3 * L);
    }

    /** Two of the panel's four vectors, the other two skipped. */
    private static void half4(
            int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        int at0 = sumsAt;
        int at1 = at0 + sumsStride;
        int at2 = at1 + sumsStride;
        int at3 = at2 + sumsStride;
        FloatVector s00 = load(sums, at0);
        FloatVector s01 = load(sums, at0 + L);
        FloatVector s10 = load(sums, at1);
        FloatVector s11 = load(sums, at1 + L);
        FloatVector s20 = load(sums, at2);
        FloatVector s21 = load(sums, at2 + L);
        FloatVector s30 = load(sums, at3);
        FloatVector s31 = load(sums, at3 + L);
        for (int k = 0; k < count; k++) {
            int p = wAt + k * W;
            int q = xAt + k * 4;
            FloatVector w0 = load(w, p);
            FloatVector w1 = load(w, p + L);
            FloatVector b = all(x[q]);
            s00 = w0.fma(b, s00);
            s01 = w1.fma(b, s01);
            b = all(x[q + 1]);
            s10 = w0.fma(b, s10);
            s11 = w1.fma(b, s11);
            b = all(x[q + 2]);
            s20 = w0.fma(b, s20);
            s21 = w1.fma(b, s21);
            b = all(x[q + 3]);
            s30 = w0.fma(b, s30);
            s31 = w1.fma(b, s31);
        }
        s00.intoArray(sums, at0);
        s01.intoArray(sums, at0 + L);
        s10.intoArray(sums, at1);
        s11.intoArray(sums, at1 + L);
        s20.intoArray(sums, at2);
        s21.intoArray(sums, at2 + L);
        s30.intoArray(sums, at3);
        s31.intoArray(sums, at3 + L);
    }

    /** Four rows meet a block: with AVX-512 too two vectors at a time, for its sums begin anew and are few. */
    static void tileBlock(
            int count,
            float[] w,
            int wAt,
            float[] x,
            int xAt,
            float[] scales,
            int scalesAt,
            float[] sums,
            int sumsAt,
            int sumsStride) {
        half4Block(count, w, wAt, x, xAt, scales, scalesAt, sums, sumsAt, sumsStride);
        half4Block(count, w, wAt + 2 * L, x, xAt, scales, scalesAt + 2 * L, sums, sumsAt + 2 * L, sumsStride);
    }

    /** Two of the panel's four vectors. */
    private static void half4Block(
            int count,
            float[] w,
            int wAt,
            float[] x,
            int xAt,
            float[] scales,
            int scalesAt,
            float[] sums,
            int sumsAt,
            int sumsStride) {
        int at0 = sumsAt;
        int at1 = at0 + sumsStride;
        int at2 = at1 + sumsStride;
        int at3 = at2 + sumsStride;
        FloatVector s00 = FloatVector.zero(FLOATS);
        FloatVector s01 = s00;
        FloatVector s10 = s00;
        FloatVector s11 = s00;
        FloatVector s20 = s00;
        FloatVector s21 = s00;
        FloatVector s30 = s00;
        FloatVector s31 = s00;
        for (int k = 0; k < count; k++) {
            int p = wAt + k * W;
            int q = xAt + k * 4;
            FloatVector w0 = load(w, p);
            FloatVector w1 = load(w, p + L);
            FloatVector b = all(x[q]);
            s00 = w0.fma(b, s00);
            s01 = w1.fma(b, s01);
            b = all(x[q + 1]);
            s10 = w0.fma(b, s10);
            s11 = w1.fma(b, s11);
            b = all(x[q + 2]);
            s20 = w0.fma(b, s20);
            s21 = w1.fma(b, s21);
            b = all(x[q + 3]);
            s30 = w0.fma(b, s30);
            s31 = w1.fma(b, s31);
        }
        FloatVector c0 = load(scales, scalesAt);
        FloatVector c1 = load(scales, scalesAt + L);
        s00.fma(c0, load(sums, at0)).intoArray(sums, at0);
        s01.fma(c1, load(sums, at0 + L)).intoArray(sums, at0 + L);
        s10.fma(c0, load(sums, at1)).intoArray(sums, at1);
        s11.fma(c1, load(sums, at1 + L)).intoArray(sums, at1 + L);
        s20.fma(c0, load(sums, at2)).intoArray(sums, at2);
        s21.fma(c1, load(sums, at2 + L)).intoArray(sums, at2 + L);
        s30.fma(c0, load(sums, at3)).intoArray(sums, at3);
        s31.fma(c1, load(sums, at3 + L)).intoArray(sums, at3 + L);
    }

    /**
     * Four rows meet a panel of bf16, widened in registers. Fewer have no tile of their own: two rows by two or by four vectors were
     * both boxed by C2 of Java 17 in one run of three to six.
     */
    static void tileBf16(int count, short[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        half4Bf16(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
        half4Bf16(count, w, wAt + 2 * L, x, xAt, sums, sumsAt + L, sumsStride);
    }

    /** The rows of two of a panel's four vectors: the halves of one load's lanes, and so half a panel apart. */
    private static void half4Bf16(
            int count, short[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        int at0 = sumsAt;
        int at1 = at0 + sumsStride;
        int at2 = at1 + sumsStride;
        int at3 = at2 + sumsStride;
        FloatVector s00 = load(sums, at0);
        FloatVector s01 = load(sums, at0 + 2 * L);
        FloatVector s10 = load(sums, at1);
        FloatVector s11 = load(sums, at1 + 2 * L);
        FloatVector s20 = load(sums, at2);
        FloatVector s21 = load(sums, at2 + 2 * L);
        FloatVector s30 = load(sums, at3);
        FloatVector s31 = load(sums, at3 + 2 * L);
        for (int k = 0; k < count; k++) {
            int q = xAt + k * 4;
            IntVector pairs = VectorChains.pairs(w, wAt + k * W);
            FloatVector w0 = VectorChains.lowBf16(pairs);
            FloatVector w1 = VectorChains.highBf16(pairs);
            FloatVector b = all(x[q]);
            s00 = w0.fma(b, s00);
            s01 = w1.fma(b, s01);
            b = all(x[q + 1]);
            s10 = w0.fma(b, s10);
            s11 = w1.fma(b, s11);
            b = all(x[q + 2]);
            s20 = w0.fma(b, s20);
            s21 = w1.fma(b, s21);
            b = all(x[q + 3]);
            s30 = w0.fma(b, s30);
            s31 = w1.fma(b, s31);
        }
        s00.intoArray(sums, at0);
        s01.intoArray(sums, at0 + 2 * L);
        s10.intoArray(sums, at1);
        s11.intoArray(sums, at1 + 2 * L);
        s20.intoArray(sums, at2);
        s21.intoArray(sums, at2 + 2 * L);
        s30.intoArray(sums, at3);
        s31.intoArray(sums, at3 + 2 * L);
    }
}
