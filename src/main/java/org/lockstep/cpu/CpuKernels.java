package org.lockstep.cpu;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.lockstep.simd.Arithmetic;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.KernelArguments;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * The maths of a decoder over heap arrays: weights f32, bf16, f16 or q8, activations f32.
 *
 * <p>A token's result has the same bits in every batch, on every machine and on any number of threads, with the Vector API and
 * without it. Shapes that do not fit together are an {@link IllegalArgumentException} naming both, thrown before anything is
 * written. One caller at a time; {@link #close} ends the threads.
 */
public final class CpuKernels implements Kernels {
    private final Arithmetic arithmetic;
    private final PanelProduct product;
    private final Team team;
    private final PagedAttention attention;
    private final RowKernels rows;
    private final TokenKernels tokens;

    private CpuKernels(Arithmetic arithmetic, Team team) {
        this.arithmetic = arithmetic;
        this.team = team;
        this.product = new PanelProduct(arithmetic, team);
        this.attention = new PagedAttention(arithmetic, team);
        this.rows = new RowKernels(arithmetic, team);
        this.tokens = new TokenKernels(team);
    }

    /** Kernels on the caller's thread alone. */
    public static CpuKernels create() {
        return create(1);
    }

    /**
     * Kernels on the caller's thread and {@code threads - 1} of their own.
     *
     * @param threads at least 1
     */
    public static CpuKernels create(int threads) {
        return create(Arithmetic.create(), threads, fits(1, threads));
    }

    private static boolean fits(int ranks, int threads) {
        return (long) ranks * threads <= Runtime.getRuntime().availableProcessors();
    }

    /** @param spins whether there is a core for each thread */
    static CpuKernels create(Arithmetic arithmetic, int threads, boolean spins) {
        if (threads < 1) {
            throw new IllegalArgumentException("threads (" + threads + ") must be at least 1");
        }
        return new CpuKernels(arithmetic, Team.of(threads, spins));
    }

    /** So many ranks compute in this JVM, each on as many threads: where they outnumber its cores none may spin. */
    void shareCores(int ranks) {
        if (!fits(ranks, team.size())) {
            team.sleepAtOnce();
        }
    }

    boolean spins() {
        return team.spins();
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
        KernelArguments.prepare(source, segments);
        return Packing.pack(source, type, segments, arithmetic.panel());
    }

    @Override
    public CacheBlocks cache(DataType type, int blocks, int blockSize, int heads, int headSize) {
        if (type != DataType.F32) {
            throw new IllegalArgumentException("a cache on a CPU is f32, not " + type);
        }
        return HostCache.allocate(blocks, blockSize, heads, headSize);
    }

    @Override
    public void embed(Weight table, int[] ids, int firstRow, Tensor out) {
        KernelArguments.embed(table, ids, out);
        tokens.embed(host(table), ids, firstRow, floats(out));
    }

    @Override
    public void rmsNorm(Tensor x, Tensor weight, float epsilon, Tensor out) {
        long hidden = x.shape().dim(-1);
        KernelArguments.rmsNorm(x, weight, out);
        rows.rmsNorm(floats(x), floats(weight), (int) hidden, epsilon, floats(out));
    }

    @Override
    public void addRmsNorm(Tensor x, Tensor y, Tensor weight, float epsilon, Tensor out) {
        long hidden = x.shape().dim(-1);
        KernelArguments.add(x, y);
        KernelArguments.rmsNorm(x, weight, out);
        rows.addRmsNorm(floats(x), floats(y), floats(weight), (int) hidden, epsilon, floats(out));
    }

    @Override
    public void linear(Tensor x, Weight weight, @Nullable Tensor bias, Tensor out) {
        KernelArguments.linear(x, weight, bias, out);
        product.multiply(
                floats(x), (int) x.shape().dim(0), host(weight), bias == null ? null : floats(bias), floats(out));
    }

    @Override
    public void rotate(Tensor heads, Tensor cos, Tensor sin, BatchLayout layout, int headSize) {
        KernelArguments.rotate(heads, cos, sin, layout, headSize);
        tokens.rotate(floats(heads), (int) heads.shape().dim(1), floats(cos), floats(sin), layout, headSize);
    }

    @Override
    public void writeCache(Tensor keys, Tensor values, CacheBlocks cache, BatchLayout layout) {
        KernelArguments.writeCache(keys, values, cache, layout);
        tokens.writeCache(floats(keys), floats(values), host(cache), layout);
    }

    @Override
    public void attention(Tensor query, CacheBlocks cache, BatchLayout layout, Tensor out) {
        KernelArguments.attention(query, cache, layout, out);
        int heads = (int) query.shape().dim(1) / cache.headSize();
        attention.attend(floats(query), heads, host(cache), layout, floats(out));
    }

    @Override
    public void swiGlu(Tensor gate, Tensor up) {
        KernelArguments.swiGlu(gate, up);
        rows.swiGlu(floats(gate), floats(up));
    }

    @Override
    public void add(Tensor x, Tensor y) {
        KernelArguments.add(x, y);
        rows.add(floats(x), floats(y));
    }

    @Override
    public void gatherRows(Tensor x, int[] rows, Tensor out) {
        KernelArguments.gatherRows(x, rows, out);
        HostBuffer from = floats(x);
        HostBuffer to = floats(out);
        int width = (int) x.shape().dim(1);
        for (int i = 0; i < rows.length; i++) {
            int row = Objects.checkIndex(rows[i], (int) x.shape().dim(0));
            System.arraycopy(from.floats(), from.offset() + row * width, to.floats(), to.offset() + i * width, width);
        }
    }

    @Override
    public void argmax(Tensor x, int[] out) {
        tokens.argmax(floats(x), (int) x.shape().dim(0), (int) x.shape().dim(-1), out);
    }

    @Override
    public int hostThreads() {
        return team.size();
    }

    @Override
    public void onHost(int parts, HostWork work) {
        team.run(work::run, parts);
    }

    @Override
    public void close() {
        team.close();
    }

    /** What computes, for people: {@code vectors of 16 floats, 2 threads}. */
    @Override
    public String toString() {
        return arithmetic + ", " + team.size() + (team.size() == 1 ? " thread" : " threads");
    }

    private static PanelWeight host(Weight weight) {
        if (weight instanceof PanelWeight host) {
            return host;
        }
        throw new IllegalArgumentException("a weight of another device was given to kernels of " + Device.HOST);
    }

    private static HostCache host(CacheBlocks cache) {
        if (cache instanceof HostCache host) {
            return host;
        }
        throw new IllegalArgumentException("a cache of another device was given to kernels of " + Device.HOST);
    }

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
}
