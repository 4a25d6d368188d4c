package org.lockstep.cli.bench.inference;

import java.util.Collections;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.lockstep.ErrorCode;
import org.lockstep.LockstepException;
import org.lockstep.checkpoint.TensorInfo;
import org.lockstep.checkpoint.TensorSource;
import org.lockstep.model.ModelConfig;
import org.lockstep.model.ModelTensors;
import org.lockstep.tensor.DataType;
import org.lockstep.tensor.Half;
import org.lockstep.tensor.HostBuffer;
import org.lockstep.tensor.Shape;

/**
 * Weights of a model that nobody trained, made as they are read: nothing is on disk, and nothing is kept.
 *
 * <p>An element depends on the name of its tensor and its place there and nothing else, so that the ranks of a replica hold
 * parts of one model. Norms are ones; all else is even in ±0.035, of the deviation 0.02 that models are initialised with.
 * Confined to one thread.
 */
final class RandomWeights implements TensorSource {
    // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    /** Of numbers that are even in ±1, times the root of 3. */
    private static final float SPREAD = 0.02f * 1.7320508f;

    private final Map<String, Shape> shapes;
    private final DataType type;

    private RandomWeights(Map<String, Shape> shapes, DataType type) {
        this.shapes = shapes;
        this.type = type;
    }

    /** Weights for a model, as if they were stored in {@code type}: f32, bf16 or f16. */
    static RandomWeights of(ModelConfig config, DataType type) {
        if (type != DataType.F32 && type != DataType.BF16 && type != DataType.F16) {
            throw new IllegalArgumentException("weights are f32, bf16 or f16, not " + type);
        }
        return new RandomWeights(ModelTensors.shapes(config), type);
    }

    @Override
    public boolean contains(String name) {
        return shapes.containsKey(name);
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(shapes.keySet());
    }

    @Override
    public int size() {
        return shapes.size();
    }

    @Override
    public long bytes() {
        return shapes.values().stream().mapToLong(Shape::elements).sum() * type.bytes();
    }

    @Override
    public TensorInfo expect(String name, Shape shape) {
        Shape there = shapes.get(name);
        if (there == null || !there.equals(shape)) {
            throw LockstepException.report(
                            ErrorCode.CHECKPOINT_INVALID,
                            "tensor '" + name + "' " + shape + " is none of the model's; by that name it has " + there)
                    .exception();
        }
        return new TensorInfo(name, type, shape, "random numbers", 0, shape.elements() * type.bytes());
    }

    @Override
    public HostBuffer readRows(String name, long from, long count) {
        Shape shape = shape(name);
        Objects.checkFromIndexSize(from, count, shape.dim(0));
        long row = shape.elements() / shape.dim(0);
        return block(name, from * row, 1, count * row, count * row);
    }

    @Override
    public HostBuffer readBlock(String name, long fromRow, long rows, long fromColumn, long columns) {
        Shape shape = shape(name);
        Objects.checkFromIndexSize(fromRow, rows, shape.dim(0));
        Objects.checkFromIndexSize(fromColumn, columns, shape.dim(1));
        return block(name, fromRow * shape.dim(1) + fromColumn, rows, columns, shape.dim(1));
    }

    private Shape shape(String name) {
        Shape shape = shapes.get(name);
        if (shape == null) {
            throw new IllegalArgumentException("the model has no tensor '" + name + "'");
        }
        return shape;
    }

    /** {@code runs} runs of {@code run} elements, {@code stride} apart, the first at element {@code from}. */
    private HostBuffer block(String name, long from, long runs, long run, long stride) {
        HostBuffer block = HostBuffer.allocate(type, Math.multiplyExact(runs, run));
        boolean norm = name.endsWith("norm.weight");
        long seed = mix(name.hashCode());
        int at = 0;
        for (long i = 0; i < runs; i++) {
            for (long k = from + i * stride; k < from + i * stride + run; k++) {
                float value = norm ? 1 : even(mix(seed + k * GAMMA));
                switch (type) {
                    case F32 -> block.floats()[at++] = value;
                    case BF16 -> block.shorts()[at++] = Half.floatToBf16(value);
                    default -> block.shorts()[at++] = Half.floatToF16(value);
                }
            }
        }
        return block;
    }

    /** The upper bits of a hash as a number in ±{@link #SPREAD}. */
    private static float even(long hash) {
        return (hash >> 40) * 0x1p-23f * SPREAD;
    }

    private static long mix(long z) {
        long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
        return b ^ (b >>> 31);
    }
}
