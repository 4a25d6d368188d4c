package org.lockstep.tensor;

import org.jspecify.annotations.Nullable;

/**
 * The maths of a decoder on one device: what a transformer needs and no more.
 *
 * <p>Activations are f32; weights have the type they were stored in. The output is always a buffer the caller
 * owns, so a step allocates nothing. Shapes are written (outer, inner). A result depends on its own row only, never on
 * the other rows of the batch. On the CPU the same token gives the same bits in any batch; on a GPU it does but for products
 * of many tokens, which are its library's, and whose sums have the order that it likes. One thread at a time.
 *
 * @see BatchLayout
 */
public interface Kernels extends AutoCloseable {
    Device device();

    /** Bytes of device memory that may still be taken here; {@link Long#MAX_VALUE} where nobody counts them. */
    default long available() {
        return Long.MAX_VALUE;
    }

    /** Zeros in this device's memory. */
    Tensor zeros(DataType type, long... dims);

    /** Host memory in this device's; on the CPU the same memory. */
    Tensor upload(HostBuffer source, long... dims);

    /**
     * Reads a weight matrix once and lays it out for this device.
     *
     * @param type how it is held: converted, or quantised, where it is stored otherwise
     * @param segments equal runs of columns that {@link #linear} sums apart; a divisor of the columns; 1 for one run
     * @throws IllegalArgumentException if the columns are not divisible by the segments
     */
    Weight prepare(MatrixSource source, WeightType type, int segments);

    /**
     * Room for the keys and values of one layer, all zeros.
     *
     * @param type they are rounded to as they are written: f32; on a GPU bf16 or f16 too, which is half the memory to hold and
     *     to read at each token
     * @throws IllegalArgumentException if this device holds none of that type
     */
    CacheBlocks cache(DataType type, int blocks, int blockSize, int heads, int headSize);

    /**
     * Looks rows up: {@code out[t] = table[ids[t] - firstRow]}, and zeros where the id is not in this table, so that the
     * sum over tensor ranks is the lookup in the whole vocabulary.
     *
     * @param table (rows, hidden)
     * @param out (tokens, hidden), f32
     */
    void embed(Weight table, int[] ids, int firstRow, Tensor out);

    /**
     * {@code out = x / sqrt(mean(x²) + epsilon) · weight} (Zhang and Sennrich, 2019).
     *
     * @param x (tokens, hidden)
     * @param out the same shape; may be {@code x}
     */
    void rmsNorm(Tensor x, Tensor weight, float epsilon, Tensor out);

    /**
     * {@code x = x + y}, in place, then {@link #rmsNorm} of it into {@code out}: in one pass, with the bits of two.
     *
     * @param x (tokens, hidden)
     * @param y likewise
     * @param out the same shape; neither {@code x} nor {@code y}
     */
    void addRmsNorm(Tensor x, Tensor y, Tensor weight, float epsilon, Tensor out);

    /**
     * {@code out = x · weightᵀ + bias}.
     *
     * <p>Each dot product is summed in the weight's segments, equal runs of columns whose sums are then added as a balanced
     * binary tree. A matrix cut over tensor ranks by columns, each rank with its share of the segments, and added up by
     * {@code allReduce} (whose order is the same tree) then gives the bits of the uncut one.
     *
     * @param x (tokens, in), f32
     * @param weight (out, in)
     * @param bias (out), f32
     * @param out (tokens, out), f32
     */
    void linear(Tensor x, Weight weight, @Nullable Tensor bias, Tensor out);

    /**
     * Rotates each head of each token by its position, in place; pairs are (i, i + headSize / 2) as in Hugging Face's
     * Llama (Su et al., 2021, RoFormer).
     *
     * @param heads (tokens, heads · headSize)
     * @param cos (positions, headSize / 2), f32
     * @param sin likewise
     */
    void rotate(Tensor heads, Tensor cos, Tensor sin, BatchLayout layout, int headSize);

    /**
     * Writes this step's keys and values to their slots.
     *
     * @param keys (tokens, kvHeads · headSize)
     * @param values likewise
     */
    void writeCache(Tensor keys, Tensor values, CacheBlocks cache, BatchLayout layout);

    /**
     * Causal grouped-query attention of this step's queries over their sequences' cached context, this step included.
     * Query head h reads key/value head h · kvHeads / heads. Scores are scaled by headSize^-0.5.
     *
     * @param query (tokens, heads · headSize)
     * @param out (tokens, heads · headSize)
     */
    void attention(Tensor query, CacheBlocks cache, BatchLayout layout, Tensor out);

    /** {@code gate = silu(gate) · up}, in place (Shazeer, 2020, SwiGLU). */
    void swiGlu(Tensor gate, Tensor up);

    /** {@code x = x + y}, in place. */
    void add(Tensor x, Tensor y);

    /** {@code out[i] = x[rows[i]]}. */
    void gatherRows(Tensor x, int[] rows, Tensor out);

    /**
     * The index of the largest element of each row, the lowest of several; -1 where an element is NaN or plus infinity, or
     * all are minus infinity.
     *
     * @param x (rows, n), f32
     * @param out at least {@code rows} long
     */
    void argmax(Tensor x, int[] out);

    /**
     * Draws an index of each row that {@code draws} names, if this device does that: where it does not, logits are the host's to
     * draw from. -1 as of {@link #argmax}.
     *
     * <p>Weights and their sums have a relative error of about 1e-6: where that decides, at the border between two indices or of
     * what is cut off, the host may choose the other.
     *
     * @param logits (rows, n), f32; only read
     * @param out at least {@code rows} long; elements of other rows are left alone
     * @return whether it was done; if not, {@code out} is as it was
     */
    default boolean sample(Tensor logits, Draws draws, int[] out) {
        return false;
    }

    /**
     * Takes the memory that steps up to such a size need beside what they are given: a step takes none of the device then, which
     * may hold up all that it was given. To be called when the weights are prepared.
     *
     * @throws org.lockstep.LockstepException OUT_OF_MEMORY
     */
    default void reserve(StepLimits largest) {}

    /**
     * Runs {@code body}, which computes {@code step} by calls of these kernels with the step's ids, layout and rows. A device
     * may copy those ahead, and replay what an equal step launched instead of running {@code body}: what outlives a step is
     * decided before it.
     */
    default void step(Step step, Runnable body) {
        body.run();
    }

    /** Work on host memory in parts that may be done in any order, on any thread. */
    interface HostWork {
        /**
         * Does one part.
         *
         * @param thread below {@link #hostThreads}; each does one part at a time
         */
        void run(int part, int thread);
    }

    /** Threads that {@link #onHost} has, the caller's included; on a GPU that alone. */
    default int hostThreads() {
        return 1;
    }

    /** Does all parts of {@code work}, and returns when they are done; throws what one of them threw. */
    default void onHost(int parts, HostWork work) {
        for (int part = 0; part < parts; part++) {
            work.run(part, 0);
        }
    }

    /** Waits until all that was called is complete; throws what failed on the device since. On the CPU all is at its return. */
    default void synchronize() {}

    @Override
    void close();
}
