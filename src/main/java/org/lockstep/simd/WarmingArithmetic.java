package org.lockstep.simd;

/**
 * Vectors as soon as the JIT has compiled them; plain Java until then, for an interpreted vector operation takes about a
 * microsecond. A sum is one chain, so it may change from one to the other at any column, and of bytes at any block.
 */
final class WarmingArithmetic implements Arithmetic {
    /** Fewer are added before a clock has been read. */
    private static final int FEW = 256;

    private final Arithmetic vectors;
    private final Arithmetic plain;
    private final Trial[] tiles = new Trial[ROWS + 1];
    private final Trial[] strips = new Trial[ROWS + 1];
    private final Trial blocks = new Trial();
    private final Trial tilesBf16 = new Trial();
    private final Trial bf16 = new Trial();
    private final Trial f16 = new Trial();
    private final Trial q8 = new Trial();
    private final Trial chainsF32 = new Trial();
    private final Trial chainsBf16 = new Trial();
    private final Trial chainsF16 = new Trial();
    private final Trial chainsQ8 = new Trial();
    private final Trial exponentials = new Trial();
    private final Trial squares = new Trial();
    private final Trial gates = new Trial();
    private final Trial sums = new Trial();
    private final Trial scales = new Trial();

    WarmingArithmetic(Arithmetic vectors) {
        this.vectors = vectors;
        this.plain = new PlainArithmetic(vectors.panel());
        for (int rows = 1; rows <= ROWS; rows++) {
            tiles[rows] = new Trial();
            strips[rows] = new Trial();
        }
    }

    @Override
    public int panel() {
        return vectors.panel();
    }

    @Override
    public void tile(
            int rows, int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        Trial trial = tiles[rows];
        if (trial.over) {
            vectors.tile(rows, count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
            return;
        }
        if (count < 2 * Trial.LEAST) {
            plain.tile(rows, count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
            return;
        }
        int dose = trial.dose(count);
        long start = System.nanoTime();
        vectors.tile(rows, dose, w, wAt, x, xAt, sums, sumsAt, sumsStride);
        long between = System.nanoTime();
        plain.tile(rows, count - dose, w, wAt + dose * panel(), x, xAt + dose * rows, sums, sumsAt, sumsStride);
        trial.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void strips(
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
        Trial trial = strips[rows];
        if (trial.over) {
            vectors.strips(rows, count, w, at, next, x, xAt, sums, sumsAt, stride);
            return;
        }
        if (count < 2 * Trial.LEAST) {
            plain.strips(rows, count, w, at, next, x, xAt, sums, sumsAt, stride);
            return;
        }
        int dose = trial.dose(count);
        long start = System.nanoTime();
        vectors.strips(rows, dose, w, at, next, x, xAt, sums, sumsAt, stride);
        long between = System.nanoTime();
        plain.strips(rows, count - dose, w, at + dose * LANES, next, x, xAt + dose * rows, sums, sumsAt, stride);
        trial.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void tileBf16(int count, short[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride) {
        if (tilesBf16.over) {
            vectors.tileBf16(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
            return;
        }
        if (count < 2 * Trial.LEAST) {
            plain.tileBf16(count, w, wAt, x, xAt, sums, sumsAt, sumsStride);
            return;
        }
        int dose = tilesBf16.dose(count);
        long start = System.nanoTime();
        vectors.tileBf16(dose, w, wAt, x, xAt, sums, sumsAt, sumsStride);
        long between = System.nanoTime();
        plain.tileBf16(count - dose, w, wAt + dose * panel(), x, xAt + dose * ROWS, sums, sumsAt, sumsStride);
        tilesBf16.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void tileBlock(
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
        if (blocks.over) {
            vectors.tileBlock(count, w, wAt, x, xAt, scales, scalesAt, sums, sumsAt, sumsStride);
            return;
        }
        Arithmetic turn = blocks.tries() ? vectors : plain;
        long start = System.nanoTime();
        turn.tileBlock(count, w, wAt, x, xAt, scales, scalesAt, sums, sumsAt, sumsStride);
        blocks.measured(turn == vectors, count, System.nanoTime() - start);
    }

    @Override
    public boolean meetsBf16() {
        return vectors.meetsBf16();
    }

    @Override
    public void widenBf16(short[] panel, int at, int count, float[] out, int outAt) {
        if (bf16.over) {
            vectors.widenBf16(panel, at, count, out, outAt);
            return;
        }
        int dose = bf16.dose(count);
        long start = System.nanoTime();
        vectors.widenBf16(panel, at, dose, out, outAt);
        long between = System.nanoTime();
        int done = dose * panel();
        plain.widenBf16(panel, at + done, count - dose, out, outAt + done);
        bf16.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void widenF16(short[] panel, int at, int count, float[] out, int outAt) {
        if (f16.over) {
            vectors.widenF16(panel, at, count, out, outAt);
            return;
        }
        int dose = f16.dose(count);
        long start = System.nanoTime();
        vectors.widenF16(panel, at, dose, out, outAt);
        long between = System.nanoTime();
        int done = dose * panel();
        plain.widenF16(panel, at + done, count - dose, out, outAt + done);
        f16.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void widenQ8(byte[] panel, int at, int count, float[] out, int outAt) {
        if (q8.over) {
            vectors.widenQ8(panel, at, count, out, outAt);
            return;
        }
        int dose = q8.dose(count);
        long start = System.nanoTime();
        vectors.widenQ8(panel, at, dose, out, outAt);
        long between = System.nanoTime();
        int done = dose * panel();
        plain.widenQ8(panel, at + done, count - dose, out, outAt + done);
        q8.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void chainF32(int count, float[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        if (chainsF32.over) {
            vectors.chainF32(count, w, at, next, x, xAt, sums, sumsAt);
            return;
        }
        int dose = chainsF32.dose(count);
        long start = System.nanoTime();
        vectors.chainF32(dose, w, at, next, x, xAt, sums, sumsAt);
        long between = System.nanoTime();
        plain.chainF32(count - dose, w, at + dose * panel(), next, x, xAt + dose, sums, sumsAt);
        chainsF32.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void chainBf16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        if (chainsBf16.over) {
            vectors.chainBf16(count, w, at, next, x, xAt, sums, sumsAt);
            return;
        }
        int dose = chainsBf16.dose(count);
        long start = System.nanoTime();
        vectors.chainBf16(dose, w, at, next, x, xAt, sums, sumsAt);
        long between = System.nanoTime();
        plain.chainBf16(count - dose, w, at + dose * panel(), next, x, xAt + dose, sums, sumsAt);
        chainsBf16.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void chainF16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt) {
        if (chainsF16.over) {
            vectors.chainF16(count, w, at, next, x, xAt, sums, sumsAt);
            return;
        }
        int dose = chainsF16.dose(count);
        long start = System.nanoTime();
        vectors.chainF16(dose, w, at, next, x, xAt, sums, sumsAt);
        long between = System.nanoTime();
        plain.chainF16(count - dose, w, at + dose * panel(), next, x, xAt + dose, sums, sumsAt);
        chainsF16.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public void chainQ8(
            int count,
            byte[] w,
            int at,
            int next,
            float[] scales,
            int scalesAt,
            int scalesNext,
            float[] x,
            int xAt,
            float[] sums,
            int sumsAt) {
        if (chainsQ8.over) {
            vectors.chainQ8(count, w, at, next, scales, scalesAt, scalesNext, x, xAt, sums, sumsAt);
            return;
        }
        if (count < 2 * BLOCK) {
            Arithmetic turn = chainsQ8.tries() ? vectors : plain;
            long start = System.nanoTime();
            turn.chainQ8(count, w, at, next, scales, scalesAt, scalesNext, x, xAt, sums, sumsAt);
            chainsQ8.measured(turn == vectors, count, System.nanoTime() - start);
            return;
        }
        int dose = chainsQ8.tries() ? BLOCK : 0;
        long start = System.nanoTime();
        vectors.chainQ8(dose, w, at, next, scales, scalesAt, scalesNext, x, xAt, sums, sumsAt);
        long between = System.nanoTime();
        plain.chainQ8(
                count - dose,
                w,
                at + dose * panel(),
                next,
                scales,
                scalesAt + dose / BLOCK * panel(),
                scalesNext,
                x,
                xAt + dose,
                sums,
                sumsAt);
        chainsQ8.measured(dose, between - start, count - dose, System.nanoTime() - between);
    }

    @Override
    public float largest(float[] x, int at, int count) {
        return (exponentials.over ? vectors : plain).largest(x, at, count);
    }

    @Override
    public float exponentials(float[] x, int at, int count, float less, float[] lanes) {
        if (exponentials.over) {
            return vectors.exponentials(x, at, count, less, lanes);
        }
        Arithmetic turn = exponentials.tries() ? vectors : plain;
        long start = System.nanoTime();
        turn.largest(x, at, count); // is compiled along
        float sum = turn.exponentials(x, at, count, less, lanes);
        exponentials.measured(turn == vectors, count, System.nanoTime() - start);
        return sum;
    }

    @Override
    public float sumOfSquares(float[] x, int at, int count, float[] lanes) {
        if (squares.over) {
            return vectors.sumOfSquares(x, at, count, lanes);
        }
        Arithmetic turn = squares.tries() ? vectors : plain;
        long start = System.nanoTime();
        float sum = turn.sumOfSquares(x, at, count, lanes);
        squares.measured(turn == vectors, count, System.nanoTime() - start);
        return sum;
    }

    @Override
    public void swiGlu(float[] gate, int gateAt, float[] up, int upAt, int count) {
        if (gates.over) {
            vectors.swiGlu(gate, gateAt, up, upAt, count);
            return;
        }
        Arithmetic turn = gates.tries() ? vectors : plain;
        long start = System.nanoTime();
        turn.swiGlu(gate, gateAt, up, upAt, count);
        gates.measured(turn == vectors, count, System.nanoTime() - start);
    }

    @Override
    public void add(float[] x, int at, float[] y, int yAt, int count) {
        if (sums.over) {
            vectors.add(x, at, y, yAt, count);
            return;
        }
        if (count < FEW) {
            plain.add(x, at, y, yAt, count);
            return;
        }
        Arithmetic turn = sums.tries() ? vectors : plain;
        long start = System.nanoTime();
        turn.add(x, at, y, yAt, count);
        sums.measured(turn == vectors, count, System.nanoTime() - start);
    }

    @Override
    public void scale(float[] x, int at, float scale, float[] weight, int weightAt, float[] out, int outAt, int count) {
        if (scales.over) {
            vectors.scale(x, at, scale, weight, weightAt, out, outAt, count);
            return;
        }
        Arithmetic turn = scales.tries() ? vectors : plain;
        long start = System.nanoTime();
        turn.scale(x, at, scale, weight, weightAt, out, outAt, count);
        scales.measured(turn == vectors, count, System.nanoTime() - start);
    }

    @Override
    public String toString() {
        return vectors.toString();
    }
}
