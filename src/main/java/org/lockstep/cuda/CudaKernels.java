package org.lockstep.cuda;

import static org.lockstep.cuda.DeviceProduct.blocks;

import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.lockstep.tensor.BatchLayout;
import org.lockstep.tensor.Buffer;
import org.lockstep.tensor.CacheBlocks;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Device;
import org.lockstep.tensor.Draws;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.KernelArguments;
import org.lockstep.tensor.Kernels;
import org.lockstep.tensor.MatrixSource;
import org.lockstep.tensor.Shape;
import org.lockstep.tensor.Step;
import org.lockstep.tensor.StepLimits;
import org.lockstep.tensor.Tensor;
import org.lockstep.tensor.Weight;
import org.lockstep.tensor.WeightType;

/**
 * The maths of a decoder on a GPU: weights f32, bf16, f16 or q8, cache f32, bf16 or f16, activations f32.
 *
 * <p>Everything is queued in the order of the rank's stream and runs when the device comes to it; {@link #argmax},
 * {@link #sample} and {@link Buffer#toHost} wait, and {@link #synchronize}. A token's result has the same bits in every batch, but for {@link #linear} of more than eight
 * tokens where that is cuBLAS's, and for {@link #attention} on tensor cores, which a token that comes alone does without. Shapes that do not fit together are an {@link IllegalArgumentException} naming both. One
 * caller at a time, from any thread; {@link #close} gives all memory back, also what buffers still stand for.
 */
public final class CudaKernels implements Kernels {
    private static final int THREADS = 256;

    private final CudaDevice device;
    private final DeviceArena arena;
    private final KernelModule kernels;
    private final @Nullable Cublas cublas;
    private final StepTables tables;
    private final @Nullable StepGraphs graphs; // null where each step runs as it comes
    private final DeviceProduct product;
    private final DeviceAttention attention;
    private final DeviceSampler sampler;
    private final Map<WeightType, Integer> widest = new EnumMap<>(WeightType.class); // columns
    private boolean closed;

    private CudaKernels(
            CudaDevice device, DeviceArena arena, KernelModule kernels, @Nullable Cublas cublas, boolean eager) {
        this.device = device;
        this.arena = arena;
        this.kernels = kernels;
        this.cublas = cublas;
        StepGraphs replayed = new StepGraphs(device);
        this.graphs = eager ? null : replayed;
        this.tables = new StepTables(device, arena, replayed::clear);
        this.product = new DeviceProduct(arena, kernels, cublas, replayed::clear);
        this.attention = new DeviceAttention(arena, kernels, device.seen().hasBf16TensorCores(), replayed::clear);
        this.sampler = new DeviceSampler(arena, kernels);
    }

    /**
     * Kernels on a device that {@link CudaDriver} has found.
     *
     * @throws org.lockstep.LockstepException NO_LIBRARY without a cuBLAS, OUT_OF_MEMORY, DEVICE_FAULT, DEVICE_LOST
     */
    public static CudaKernels create(VisibleDevice seen, CudaOptions options) {
        CudaDevice device = CudaDevice.open(seen);
        boolean made = false;
        try {
            CudaKernels all = create(device, options);
            made = true;
            return all;
        } finally {
            if (!made) {
                device.close();
            }
        }
    }

    /** The same on a device that is theirs from now on, unless this throws. */
    static CudaKernels create(CudaDevice device, CudaOptions options) {
        String named = options.cublas();
        CublasLibrary library = CudaOptions.NO_CUBLAS.equals(named)
                ? null
                : CublasLibrary.open(Optional.ofNullable(named), System.getenv());
        DeviceArena arena = DeviceArena.create(device, options.budget(device.seen()));
        boolean made = false;
        try {
            CudaKernels all = create(arena, KernelModule.decoder(device), library, options.enforceEager());
            made = true;
            return all;
        } finally {
            if (!made) {
                arena.close();
            }
        }
    }

    /** The same of kernels that are theirs from now on, and closed if this throws. */
    private static CudaKernels create(
            DeviceArena arena, KernelModule kernels, @Nullable CublasLibrary library, boolean eager) {
        boolean made = false;
        try {
            Cublas cublas = library == null ? null : Cublas.create(library, arena.device(), arena);
            CudaKernels all = new CudaKernels(arena.device(), arena, kernels, cublas, eager);
            made = true;
            return all;
        } finally {
            if (!made) {
                kernels.close();
            }
        }
    }

    @Override
    public Device device() {
        return arena.name();
    }

    @Override
    public long available() {
        return arena.available();
    }

    @Override
    public Tensor zeros(DataType type, long... dims) {
        Shape shape = Shape.of(dims);
        DeviceBuffer buffer = DeviceBuffer.allocate(arena, type, shape.elements());
        buffer.zero();
        return new Tensor(buffer, shape);
    }

    @Override
    public Tensor upload(HostBuffer source, long... dims) {
        Shape shape = Shape.of(dims);
        if (shape.elements() != source.length()) {
            return new Tensor(source, shape); // which says what is wrong
        }
        DeviceBuffer buffer = DeviceBuffer.allocate(arena, source.type(), source.length());
        buffer.copyFrom(source);
        return new Tensor(buffer, shape);
    }

    @Override
    public Weight prepare(MatrixSource source, WeightType type, int segments) {
        KernelArguments.prepare(source, segments);
        DeviceWeight made = DeviceWeight.load(arena, source, type, segments);
        widest.merge(type, made.columns(), Math::max);
        return made;
    }

    @Override
    public CacheBlocks cache(DataType type, int blocks, int blockSize, int heads, int headSize) {
        return DeviceCache.allocate(arena, type, blocks, blockSize, heads, headSize);
    }

    @Override
    public void embed(Weight table, int[] ids, int firstRow, Tensor out) {
        KernelArguments.embed(table, ids, out);
        DeviceWeight held = mine(table);
        device.enter();
        boolean quantised = held.type() == WeightType.Q8;
        KernelModule launch = kernels.with().pointer(held.address());
        if (quantised) {
            launch.pointer(held.scales());
        }
        launch.pointer(tables.ids(ids)).number(firstRow).number(held.rows()).number(held.columns());
        if (quantised) {
            launch.number(held.segments());
        }
        launch.pointer(floats(out)).launch("embed_" + held.type(), ids.length, THREADS);
    }

    @Override
    public void rmsNorm(Tensor x, Tensor weight, float epsilon, Tensor out) {
        KernelArguments.rmsNorm(x, weight, out);
        device.enter();
        int hidden = (int) x.shape().dim(-1);
        kernels.with()
                .pointer(floats(x))
                .pointer(floats(weight))
                .real(epsilon)
                .number(hidden)
                .pointer(floats(out))
                .launch("rms_norm", (int) (x.shape().elements() / hidden), THREADS);
    }

    @Override
    public void addRmsNorm(Tensor x, Tensor y, Tensor weight, float epsilon, Tensor out) {
        KernelArguments.add(x, y);
        KernelArguments.rmsNorm(x, weight, out);
        device.enter();
        int hidden = (int) x.shape().dim(-1);
        kernels.with()
                .pointer(floats(x))
                .pointer(floats(y))
                .pointer(floats(weight))
                .real(epsilon)
                .number(hidden)
                .pointer(floats(out))
                .launch("add_rms_norm", (int) (x.shape().elements() / hidden), THREADS);
    }

    @Override
    public void linear(Tensor x, Weight weight, @Nullable Tensor bias, Tensor out) {
        KernelArguments.linear(x, weight, bias, out);
        device.enter();
        product.multiply(floats(x), (int) x.shape().dim(0), mine(weight), bias == null ? 0 : floats(bias), floats(out));
    }

    @Override
    public void rotate(Tensor heads, Tensor cos, Tensor sin, BatchLayout layout, int headSize) {
        KernelArguments.rotate(heads, cos, sin, layout, headSize);
        device.enter();
        kernels.with()
                .pointer(floats(heads))
                .pointer(floats(cos))
                .pointer(floats(sin))
                .pointer(tables.of(layout).positions())
                .number((int) heads.shape().dim(1) / headSize)
                .number(headSize)
                .launch("rotate", layout.tokens(), THREADS);
    }

    @Override
    public void writeCache(Tensor keys, Tensor values, CacheBlocks cache, BatchLayout layout) {
        KernelArguments.writeCache(keys, values, cache, layout);
        DeviceCache held = mine(cache);
        device.enter();
        kernels.with()
                .pointer(floats(keys))
                .pointer(floats(values))
                .pointer(tables.of(layout).slots())
                .number(held.heads())
                .number(held.headSize())
                .number(held.blockSize())
                .pointer(held.keys().address())
                .pointer(held.values().address())
                .launch("write_cache_" + held.type(), layout.tokens(), THREADS);
    }

    @Override
    public void attention(Tensor query, CacheBlocks cache, BatchLayout layout, Tensor out) {
        KernelArguments.attention(query, cache, layout, out);
        device.enter();
        int heads = (int) query.shape().dim(1) / cache.headSize();
        attention.attend(floats(query), heads, mine(cache), tables.of(layout), floats(out));
    }

    @Override
    public void swiGlu(Tensor gate, Tensor up) {
        KernelArguments.swiGlu(gate, up);
        device.enter();
        long n = gate.shape().elements();
        kernels.with().pointer(floats(gate)).pointer(floats(up)).wide(n).launch("swiglu", blocks(n), THREADS);
    }

    @Override
    public void add(Tensor x, Tensor y) {
        KernelArguments.add(x, y);
        device.enter();
        long n = x.shape().elements();
        kernels.with().pointer(floats(x)).pointer(floats(y)).wide(n).launch("add", blocks(n), THREADS);
    }

    @Override
    public void gatherRows(Tensor x, int[] rows, Tensor out) {
        KernelArguments.gatherRows(x, rows, out);
        for (int row : rows) {
            Objects.checkIndex(row, x.shape().dim(0));
        }
        device.enter();
        kernels.with()
                .pointer(floats(x))
                .pointer(tables.rows(rows))
                .number((int) x.shape().dim(1))
                .pointer(floats(out))
                .launch("gather_rows", rows.length, THREADS);
    }

    @Override
    public void argmax(Tensor x, int[] out) {
        device.enter();
        sampler.argmax(floats(x), (int) x.shape().dim(0), (int) x.shape().dim(-1), out);
    }

    @Override
    public boolean sample(Tensor logits, Draws draws, int[] out) {
        KernelArguments.sample(logits, draws, out);
        device.enter();
        sampler.sample(floats(logits), (int) logits.shape().dim(1), draws, out);
        return true;
    }

    @Override
    public void reserve(StepLimits largest) {
        device.enter();
        tables.reserve(largest);
        widest.forEach((type, columns) -> product.reserve(largest.tokens(), type, columns));
        attention.reserve(largest);
        sampler.reserve(largest.sequences());
    }

    /**
     * Copies what the step's kernels are told at once; a step that only decodes, and exchanges nothing through the host, is
     * replayed as a CUDA graph from its third time on.
     */
    @Override
    public void step(Step step, Runnable body) {
        device.enter();
        StepTables.Places at = tables.begin(step);
        try {
            if (graphs == null || !step.recordable() || at.mostTokens() != 1) {
                body.run();
            } else {
                Tensor logits = step.logits();
                graphs.run(
                        new StepGraphs.Key(
                                step.part(),
                                floats(step.hidden()),
                                logits == null ? 0 : floats(logits),
                                step.ids().length,
                                step.logitRows().length,
                                at.maxBlocks(),
                                at.longestDecode()),
                        body);
            }
        } finally {
            tables.end();
        }
    }

    /** Forgets the graphs of steps, which may still run; the next are recorded anew. */
    void dropGraphs() {
        if (graphs != null) {
            graphs.drop();
        }
    }

    @Override
    public void synchronize() {
        device.enter();
        device.synchronize();
    }

    /** Waits for what was queued, and gives all memory back. Idempotent. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try (device;
                arena;
                kernels;
                tables;
                sampler;
                cublas;
                graphs) {
            device.enter();
            device.finish();
        }
    }

    /** What computes, for people. */
    @Override
    public String toString() {
        return device.seen() + ", " + (cublas == null ? "no cuBLAS" : cublas);
    }

    private DeviceWeight mine(Weight weight) {
        if (weight instanceof DeviceWeight held) {
            return held;
        }
        throw new IllegalArgumentException("a weight of another device was given to kernels of " + device());
    }

    private DeviceCache mine(CacheBlocks cache) {
        if (cache instanceof DeviceCache held) {
            return held;
        }
        throw new IllegalArgumentException("a cache of another device was given to kernels of " + device());
    }

    /** The address of an f32 tensor of this device. */
    private long floats(Tensor tensor) {
        if (!(tensor.buffer() instanceof DeviceBuffer buffer)) {
            throw new IllegalArgumentException(
                    "a tensor on " + tensor.buffer().device() + " was given to kernels of " + device());
        }
        if (buffer.type() != DataType.F32) {
            throw new IllegalArgumentException("a tensor of " + buffer.type() + " stands where f32 is computed");
        }
        return buffer.address();
    }
}
