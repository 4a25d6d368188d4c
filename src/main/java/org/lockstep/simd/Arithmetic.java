package org.lockstep.simd;

/**
 * The arithmetic of the kernels over arrays, in vectors or in plain Java: the same operations in the same order, so the same
 * bits. See the package for the layouts.
 *
 * <p>Stateless: any number of threads. Ranges are the caller's to keep; one that is off an array is an
 * {@link IndexOutOfBoundsException}.
 */
public interface Arithmetic {
    /**
     * Partial sums of what is added along a row: element i goes to sum i mod 16, and these are added as a tree. And how wide a
     * {@linkplain #strips strip} is, in which keys and values lie in their cache.
     */
    int LANES = 16;

    /** Rows of {@code x} that {@link #tile} takes at most. */
    int ROWS = 4;

    /** Columns that share their scales where a panel is of bytes. */
    int BLOCK = 32;

    /** Vectors where this JVM can, once they are compiled; plain Java before that and elsewhere. */
    static Arithmetic create() {
        return isVectorEnabled()
                ? new WarmingArithmetic(new VectorArithmetic())
                : new PlainArithmetic(PlainArithmetic.PANEL);
    }

    /**
     * Whether this JVM has the module of the vectors, which takes {@code --add-modules jdk.incubator.vector}, and the machine
     * has vectors of a length that is foreseen here.
     */
    static boolean isVectorEnabled() {
        return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent() && VectorArithmetic.fits();
    }

    /**
     * Vectors from the first call on, slow as it may be.
     *
     * @throws IllegalStateException if they are not {@linkplain #isVectorEnabled enabled}
     */
    static Arithmetic vectors() {
        if (!isVectorEnabled()) {
            throw new IllegalStateException("this JVM was started without --add-modules jdk.incubator.vector");
        }
        return new VectorArithmetic();
    }

    /**
     * Plain Java over the layouts of another arithmetic.
     *
     * @param panel its {@link #panel}
     */
    static Arithmetic plain(int panel) {
        return new PlainArithmetic(panel);
    }

    /** Rows of a weight matrix that stand side by side in a panel: a multiple of 8 and a divisor of 64. */
    int panel();

    /**
     * A tile of a product: {@code sums[m][j] += x[k][m] · w[k][j]}, one fused multiply-add after the other from the first
     * {@code k} to the last.
     *
     * @param rows of {@code x}, 1 to {@link #ROWS}
     * @param count of {@code k}
     * @param w (count, {@link #panel}) from {@code wAt} on
     * @param x (count, rows) from {@code xAt} on
     * @param sums (rows, {@link #panel}) from {@code sumsAt} on, {@code sumsStride} from one row to the next
     */
    void tile(int rows, int count, float[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride);

    /** The same with a panel of bf16, widened on the way, and {@link #ROWS} rows of {@code x}. */
    void tileBf16(int count, short[] w, int wAt, float[] x, int xAt, float[] sums, int sumsAt, int sumsStride);

    /**
     * A tile of {@link #ROWS} rows and columns that share their scales, which were left out of {@code w}: {@code sums[m][j] +=
     * scales[j] · Σ x[k][m] · w[k][j]}, the sum one chain from zero on.
     *
     * @param count of {@code k}, a block or what is left of one
     * @param scales ({@link #panel}) from {@code scalesAt} on
     */
    void tileBlock(
            int count,
            float[] w,
            int wAt,
            float[] x,
            int xAt,
            float[] scales,
            int scalesAt,
            float[] sums,
            int sumsAt,
            int sumsStride);

    /**
     * Whether {@link #tileBf16} is faster, for any number of tiles over a panel, than to {@linkplain #widenBf16 widen} it once
     * for {@link #tile}: where half the bytes to load make up for the widening.
     */
    boolean meetsBf16();

    /**
     * A tile like {@link #tile} that is one or two strips of {@link #LANES} wide, wherever they are: {@code sums[m][j] += x[k][m]
     * · w[k][j]}, one fused multiply-add after the other.
     *
     * @param rows of {@code x}, 1 to {@link #ROWS}
     * @param count of {@code k}
     * @param w (count, {@link #LANES}) from {@code at} on
     * @param next from one strip to the other, which may stand before it; 0 if there is one
     * @param x (count, rows) from {@code xAt} on
     * @param sums (rows, {@link #LANES}) from {@code sumsAt} on, those of the other strip behind them in each row,
     *     {@code stride} from one row to the next
     */
    void strips(
            int rows, int count, float[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt, int stride);

    /** Widens {@code count} columns of a panel of bf16, from {@code at} on, to f32 from {@code outAt} on. */
    void widenBf16(short[] panel, int at, int count, float[] out, int outAt);

    /** Widens {@code count} columns of a panel of finite f16, from {@code at} on, to f32 from {@code outAt} on. */
    void widenF16(short[] panel, int at, int count, float[] out, int outAt);

    /** Widens {@code count} columns of a panel of bytes, from {@code at} on, to f32 from {@code outAt} on, without their scales. */
    void widenQ8(byte[] panel, int at, int count, float[] out, int outAt);

    /**
     * One row of {@code x} meets a panel, or two at once: {@code sums[j] += x[k] · w[k][j]}, one fused multiply-add after the
     * other. Memory is what such a product waits for, and it brings two panels sooner than one after the other.
     *
     * @param count columns, from {@code at} on
     * @param next from the start of one panel to that of the other; 0 if there is one
     * @param x (count) from {@code xAt} on
     * @param sums ({@link #panel}) from {@code sumsAt} on, those of the other panel behind them
     */
    void chainF32(int count, float[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt);

    /** The same with panels of bf16, widened on the way. */
    void chainBf16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt);

    /** The same with panels of finite f16. */
    void chainF16(int count, short[] w, int at, int next, float[] x, int xAt, float[] sums, int sumsAt);

    /**
     * The same with panels of bytes: {@value #BLOCK} columns that share their scales, or what is left at the end, are one chain from
     * zero on, which is then scaled and added.
     *
     * @param scales by block and row of the panel, from {@code scalesAt} on
     * @param scalesNext from those of one panel to those of the other
     */
    void chainQ8(
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
            int sumsAt);

    /** The largest of {@code count} elements, a multiple of {@link #LANES}; NaN if one is. */
    float largest(float[] x, int at, int count);

    /**
     * {@code x = exp(x - less)}, in place.
     *
     * @param count a multiple of {@link #LANES}
     * @param lanes {@link #LANES} of scratch
     * @return the sum of the results
     */
    float exponentials(float[] x, int at, int count, float less, float[] lanes);

    /**
     * The sum of the squares of {@code count} elements.
     *
     * @param lanes {@link #LANES} of scratch
     */
    float sumOfSquares(float[] x, int at, int count, float[] lanes);

    /** {@code gate = gate / (1 + exp(-gate)) · up}, in place. */
    void swiGlu(float[] gate, int gateAt, float[] up, int upAt, int count);

    /** {@code x = x + y}, in place. */
    void add(float[] x, int at, float[] y, int yAt, int count);

    /** {@code out = x · scale · weight}; {@code out} may be {@code x}, at the same element. */
    void scale(float[] x, int at, float scale, float[] weight, int weightAt, float[] out, int outAt, int count);

    /** What computes, for people: {@code vectors of 16 floats}. */
    @Override
    String toString();
}
